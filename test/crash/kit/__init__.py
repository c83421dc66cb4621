"""What the crash tests are made of: letters that prove themselves, sinks that write down what they get, a ledger of
every promise, and a field that brings them together with the lab of ../live."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "live"))
