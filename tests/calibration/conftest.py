from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from calibration_sizes import one_thread, sizes

from pertprobe.calibration import parts
from pertprobe.calibration.table import gathered


@pytest.fixture(scope="session")
def short():
    """The table of the short form, its parts run beside each other as the workflow runs them."""
    given = sizes(short=True)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=one_thread) as pool:
        jobs = [pool.submit(parts.run, name, parts.sizes_of(name, given), 0) for name in parts.names(given)]
        return gathered(job.result() for job in jobs)
