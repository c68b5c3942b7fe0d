"""Times networks in onnxruntime on one thread, one request a line, so that the caller can take turns with it.

Request:  {"file": "recogniser.onnx", "runs": 20}
Answer:   {"version": "1.32.0", "ms": [34.1, ...]}   one wall-clock time a run, after two runs to warm up
"""

import json
import sys
import time

import numpy
import onnxruntime

sessions = {}


def session(file):
    if file not in sessions:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # int8 weights become floats once, before the first run, as they do in facegate: float time is what is compared.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        made = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        random = numpy.random.default_rng(1)
        feed = {
            i.name: random.standard_normal([d if isinstance(d, int) else 1 for d in i.shape]).astype(numpy.float32)
            for i in made.get_inputs()
        }
        for _ in range(2):
            made.run(None, feed)
        sessions[file] = made, feed
    return sessions[file]


for line in sys.stdin:
    request = json.loads(line)
    run, feed = session(request["file"])
    times = []
    for _ in range(request["runs"]):
        start = time.perf_counter()
        run.run(None, feed)
        times.append((time.perf_counter() - start) * 1000)
    print(json.dumps({"version": onnxruntime.__version__, "ms": times}), flush=True)
