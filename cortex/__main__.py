"""`python -m cortex` is the command `cortex`."""

from cortex.cli import main

if __name__ == "__main__":
    main()
