import resource
import sys

import pytest

from tests.processes import output_of

FAULTS = """
import resource, torch
{keep}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(2**24)  # 64 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""
KEEP = "from models.memory import keep_freed_memory; keep_freed_memory()"


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_large_blocks_are_had_again_without_fresh_pages():
    pages = 8 * 2**26 // resource.getpagesize()
    given_back = int(output_of([sys.executable, "-c", FAULTS.format(keep="")]))
    kept = int(output_of([sys.executable, "-c", FAULTS.format(keep=KEEP)]))
    assert kept < pages / 100
    assert given_back > 5 * kept
