"""`python -m mosearch.store INDEX_DIR VECTORS_DIR ANN_ROWS`: optimizes an index, at low priority.

See `Store.start_optimizing`.  Exit code 0 when done, 1 when another process is at it, 3 on a failure,
which is then on standard error, with the time.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mosearch.errors import StoreError
from mosearch.priority import give_way
from mosearch.store import Store

_NICENESS = 10


def main(index_dir: str, vectors_dir: str, ann_rows: str) -> int:
    give_way(_NICENESS)
    try:
        with Store.open(Path(index_dir), Path(vectors_dir)) as store:
            return 0 if store.optimize(int(ann_rows)) else 1
    except StoreError as error:
        sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
