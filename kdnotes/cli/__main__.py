"""``python -m kdnotes.cli``: the command where its script is not on the path."""

import sys

from kdnotes.cli import main

sys.exit(main())
