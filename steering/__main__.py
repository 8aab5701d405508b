"""`python -m steering`: the command line."""

from steering.cli.main import main

if __name__ == "__main__":
    main()
