"""`python -m dolphin_mp.cli` is `dolphin-mp`."""

import sys

from dolphin_mp.cli import main

sys.exit(main())
