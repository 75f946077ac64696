"""`python -m bertology` is the same as the `bertology` command."""

from .studies.cli import main

if __name__ == "__main__":
    main()
