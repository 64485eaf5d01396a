"""Python reads this when it starts: a script of Snakemake is handed to the warm Python of the tests, where one waits.

Nothing else is imported here before that is known: the start of every other process stays as it is.
"""

import os
import sys

if os.environ.get("PERTPROBE_TEST_WARM") and f"{os.sep}.snakemake{os.sep}scripts{os.sep}" in sys.orig_argv[-1]:
    import json
    import socket

    try:
        with socket.socket(socket.AF_UNIX) as warm:
            warm.connect(os.environ["PERTPROBE_TEST_WARM"])
            asked = {"script": sys.orig_argv[-1], "folder": os.getcwd(), "environment": dict(os.environ)}
            socket.send_fds(warm, [json.dumps(asked).encode()], [0, 1, 2])
            warm.shutdown(socket.SHUT_WR)
            status = int(warm.recv(3) or 1)
    except OSError as error:  # which Python would pass over, and run the script itself
        os.write(2, f"The warm Python of the tests does not answer: {error}\n".encode())
        status = 1
    os._exit(status)
