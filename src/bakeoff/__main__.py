"""`python -m bakeoff`, where the command itself is not on the path."""

from bakeoff.cli.main import main

if __name__ == "__main__":
    main()
