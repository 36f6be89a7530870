"""``python -m beowulf.daemon FOLDER``: what ``beowulf up`` runs in the background."""

import sys
from pathlib import Path

from beowulf.daemon.service import serve
from beowulf.model.errors import BeowulfError

try:
    sys.exit(serve(Path(sys.argv[1])))
except BeowulfError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
