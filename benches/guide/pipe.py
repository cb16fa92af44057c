"""Runs an `apply` as the platform's loader does: the ready word, a request a line, an answer each into the FIFO.

pipe.py FOLDER MODULE: the module is looked for in the folder.
"""

import asyncio
import json
import sys

sys.path.insert(0, sys.argv[1])
# As it was where the guide ran.
asyncio.set_event_loop(asyncio.new_event_loop())
algorithm = __import__(sys.argv[2])
print("PIPE_INIT_COMPLETE", flush=True)
for line in sys.stdin:
    try:
        answer = {"result": algorithm.apply(json.loads(line)["data"]), "metadata": {"content_type": "text"}}
    except Exception as error:
        answer = {"error": {"message": str(error), "error_type": "AlgorithmError"}}
    encoded = json.dumps(answer) + "\n"
    with open("/tmp/algoout", "w") as fifo:
        fifo.write(encoded)
