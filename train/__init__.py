"""Training of every stage; ``python -m train CONFIG --folder FOLDER``."""

import os

# LAPACK has small matrices here, those of SOAP. Its threads wait for each other without sleeping: beside other work an
# update took a hundred times as long. Read when NumPy and SciPy are imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
