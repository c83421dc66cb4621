"""A thousand kills: t_kill for longer."""

import os

os.environ.setdefault("STERNPOST_CYCLES", "1000")
from t_kill import Kill, case  # noqa: E402, F401, main() finds Kill here

if __name__ == "__main__":
    case.main()
