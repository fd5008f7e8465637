"""How pandas reads back every number of a CSV file to the bit."""

import pandas as pd

from featx.doctor.packages import reaches

#: For `pandas.read_csv`: what it does by itself from 3.1 on, and then warns of.
EXACT = {} if reaches(pd.__version__, "3.1") else {"float_precision": "round_trip"}
