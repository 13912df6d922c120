#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Classical optical flow on the pairs of a folder, to compare `dance-train flow eval` with.

    python3 -m venv venv && venv/bin/pip install opencv-python-headless numpy onnxruntime
    dance-train flow list FOLDER | venv/bin/python flow-classics.py [--threads 2] [--model flow-light.onnx]

Reads the lines of `flow list`. Prints the mean end-point error over the known vectors, over those
inside the masks, and the median and least time a pair, of OpenCV's DIS (Kroeger et al. 2016) and
Farneback (2003); with `--model`, of an exported network in ONNX Runtime beside them, in turn on the
same machine at the same time. Grey conversion and resizing are not timed.
"""

import argparse
import statistics
import sys
import time

import cv2
import numpy as np


def read_flow(path):
    """The flow [height, width, 2] of a .flo or of KITTI's PNG, NaN where not known."""
    if path.endswith(".flo"):
        with open(path, "rb") as file:
            if file.read(4) != b"PIEH":
                sys.exit(f"{path}: not a .flo")
            width, height = np.fromfile(file, "<i4", 2)
            flow = np.fromfile(file, "<f4", 2 * width * height).reshape(height, width, 2)
        flow[np.abs(flow).max(axis=2) >= 1e9] = np.nan
        return flow
    coded = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    if coded is None or coded.dtype != np.uint16 or coded.ndim != 3:
        sys.exit(f"{path}: no PNG of flow")
    # OpenCV turns RGB into BGR.
    flow = (coded[:, :, :0:-1].astype(np.float32) - 32768) / 64
    flow[coded[:, :, 0] == 0] = np.nan
    return flow


def read_picture(path):
    picture = cv2.imread(path, cv2.IMREAD_COLOR)
    if picture is None:
        sys.exit(f"cannot read {path}")
    return picture


def dis(preset):
    def make():
        engine = cv2.DISOpticalFlow_create(preset)
        return lambda first, second: engine.calc(first, second, None)

    return make()


def farneback(first, second):
    return cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 5, 15, 3, 5, 1.1, 0)


def network(path, threads):
    """Times the run alone; frames are scaled to the network's size and the flow back."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    height, width = session.get_inputs()[0].shape[3:]

    def run(first, second):
        frames = np.stack([cv2.resize(f, (width, height), interpolation=cv2.INTER_AREA) for f in (first, second)])
        frames = frames[None, ..., ::-1].transpose(0, 1, 4, 2, 3).astype(np.float32) / 255
        frames = np.ascontiguousarray(frames)
        begin = time.perf_counter()
        flow = session.run(["flow"], {"frames": frames})[0][0]
        taken = time.perf_counter() - begin
        rows, columns = first.shape[:2]
        flow = cv2.resize(flow.transpose(1, 2, 0), (columns, rows), interpolation=cv2.INTER_LINEAR)
        return flow * np.float32([columns / width, rows / height]), taken

    return run


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--model", help="an exported network of optical flow")
    arguments = arguments.parse_args()
    cv2.setNumThreads(arguments.threads)
    classics = {
        "DIS ultrafast": dis(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST),
        "DIS fast": dis(cv2.DISOPTICAL_FLOW_PRESET_FAST),
        "DIS medium": dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
        "Farneback": farneback,
    }
    model = network(arguments.model, arguments.threads) if arguments.model else None
    names = ["zero flow", *classics] + ([arguments.model] if model else [])
    errors = {name: [] for name in names}
    masked = {name: [] for name in names}
    times = {name: [] for name in names}
    for line in sys.stdin:
        # Without a mask the last field is empty, and whoever trims the line takes its tab as well.
        first, second, truth, mask = (line.rstrip("\n").split("\t") + [""])[:4]
        first, second, truth = read_picture(first), read_picture(second), read_flow(truth)
        grey = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in (first, second)]
        known = ~np.isnan(truth).any(axis=2)
        limb = known & (read_picture(mask)[:, :, 0] > 127) if mask else None
        for name in names:
            if name == "zero flow":
                flow, taken = np.zeros_like(truth), 0.0
            elif name in classics:
                begin = time.perf_counter()
                flow = classics[name](*grey)
                taken = time.perf_counter() - begin
            else:
                flow, taken = model(first, second)
            error = np.linalg.norm(flow - truth, axis=2)
            errors[name].append((error[known].sum(), known.sum()))
            if limb is not None:
                masked[name].append((error[limb].sum(), limb.sum()))
            times[name].append(1e3 * taken)
    if not times["zero flow"]:
        sys.exit("no pairs on the standard input")
    print(f"{'':24}{'EPE px':>9}{'in mask':>9}{'ms':>9}{'least ms':>9}")
    for name in names:
        total = [f"{s / n:9.3f}" if n else f"{'–':>9}" for s, n in (map(sum, zip(*p)) if p else (0, 0) for p in (errors[name], masked[name]))]
        print(f"{name[-24:]:24}{total[0]}{total[1]}{statistics.median(times[name]):9.1f}{min(times[name]):9.1f}")


if __name__ == "__main__":
    main()
