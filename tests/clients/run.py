"""Runs every function called test_… in the modules called test_… and counts."""

import importlib
import pathlib
import sys
import traceback

passed = failed = 0
for path in sorted(pathlib.Path(__file__).parent.glob("test_*.py")):
    module = importlib.import_module(path.stem)
    for name in sorted(name for name in vars(module) if name.startswith("test_")):
        try:
            getattr(module, name)()
        except Exception:
            failed += 1
            print(f"FAILED {path.stem}.{name}")
            traceback.print_exc()
        else:
            passed += 1
            print(f"ok     {path.stem}.{name}")

print(f"{passed} passed, {failed} failed")
# No test at all is a failure too.
sys.exit(1 if failed or not passed else 0)
