"""`python -m receiver`: in a container the interpreter that carries the capability must itself be the entry point.

Room: cli.
"""

import sys

from receiver.cli import main

if __name__ == "__main__":
    sys.exit(main())
