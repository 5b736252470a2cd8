import sys

from stocktake.cli import main

sys.exit(main())
