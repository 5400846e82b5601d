import ctypes
import os
import resource
import sys

from tests.processes import output_of

FAULTS = """
import resource, torch
from models.memory import keep_freed_memory
keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(2**24)  # 64 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def test_large_blocks_are_had_again_without_fresh_pages_where_glibc_is():
    plain = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    faults = int(output_of([sys.executable, "-c", FAULTS], env=plain))
    fresh = 8 * 2**26 // resource.getpagesize()
    assert faults < fresh / 100 or not hasattr(ctypes.CDLL(None), "mallopt")
