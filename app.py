"""Start the workbench: `python app.py`. The page itself is assembled in `app.main`."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from app.main import main  # noqa: E402  the settings above must stand before Gradio is imported

if __name__ == "__main__":
    main()
