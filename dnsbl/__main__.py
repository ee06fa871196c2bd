"""`python -m dnsbl`, the same as the command `dnsbl`."""

import sys

from dnsbl.cli import main

sys.exit(main())
