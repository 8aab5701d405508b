"""openpi's own client, which needs an older NumPy than this project and lies beside it: scripts/install.sh test."""

import sys
from pathlib import Path

OPENPI = Path(__file__).parents[3] / ".venv" / "openpi"

if OPENPI.is_dir() and str(OPENPI) not in sys.path:
    sys.path.append(str(OPENPI))
