#!/usr/bin/env python3
"""A worker for Colony's task queue, with nothing but the standard library.

    COLONY_URL=http://127.0.0.1:7777 COLONY_API_KEY=fmn_… python3 worker.py --types add,fail

Claims tasks, does them, reports. A thread renews the lease meanwhile, and tells when the task was
cancelled. Ends cleanly on SIGINT and SIGTERM: it finishes what it has.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request

URL = os.environ.get("COLONY_URL", "http://127.0.0.1:7777").rstrip("/") + "/api/v1"
KEY = os.environ.get("COLONY_API_KEY", "")
LEASE_MS = 30_000


def call(method, path, body, timeout=30):
    request = urllib.request.Request(
        URL + path,
        data=json.dumps(body).encode(),
        method=method,
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"},
    )
    with urllib.request.urlopen(request, timeout=timeout) as response:
        return json.load(response)


def add(data, cancelled):
    """{"numbers": [1, 2]} → {"sum": 3}"""
    return {"sum": sum(data["numbers"])}


def fail(data, cancelled):
    """Fails with the message that it is given."""
    raise RuntimeError(data["message"])


def sleep(data, cancelled):
    """Sleeps for so many seconds, or until the task is cancelled."""
    cancelled.wait(data["seconds"])
    return {"cancelled": cancelled.is_set()}


HANDLERS = {"add": add, "fail": fail, "sleep": sleep}


def renew(token, done, cancelled):
    """Renews a lease three times as often as needed, until the work is done."""
    while not done.wait(LEASE_MS / 3000):
        try:
            held = call("POST", "/tasks/heartbeat", {"leaseTokens": [token], "leaseMs": LEASE_MS})
            if held["leases"][0]["stop"]:
                cancelled.set()
                return
        except OSError as error:
            print(f"failed to renew a lease: {error}", file=sys.stderr)


def work(task):
    """Does one task; returns what to report."""
    token, done, cancelled = task["leaseToken"], threading.Event(), threading.Event()
    heart = threading.Thread(target=renew, args=(token, done, cancelled), daemon=True)
    heart.start()
    try:
        output = HANDLERS[task["type"]](task["inputData"], cancelled)
        report = {"status": "completed", "outputData": output}
    except Exception as error:
        again = task["retryCount"] < task["maxRetries"]
        report = {
            "status": "retrying" if again else "failed",
            "errorData": {"message": str(error)},
        }
    finally:
        done.set()
        heart.join()
    return {**report, "leaseToken": token}


def main():
    parser = argparse.ArgumentParser(description="A worker for Colony's task queue.")
    parser.add_argument("--types", default=",".join(HANDLERS), help="types of tasks to do")
    parser.add_argument("--wait", type=float, default=30, help="seconds that a claim waits")
    options = parser.parse_args()
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    claim = {
        "types": options.types.split(","),
        "workerId": f"python-{os.getpid()}",
        "waitMs": int(options.wait * 1000),
        "leaseMs": LEASE_MS,
    }
    while not stopping.is_set():
        try:
            tasks = call("POST", "/tasks/claim", claim, timeout=options.wait + 30)["tasks"]
        except (OSError, ValueError) as error:
            print(f"failed to claim tasks: {error}", file=sys.stderr)
            time.sleep(1)
            continue
        for task in tasks:
            report = work(task)
            try:
                call("PATCH", f"/tasks/{task['id']}", report)
                print(f"{task['type']} {task['id']} {report['status']}", flush=True)
            except urllib.error.HTTPError as error:
                # 409: the lease is over; someone else has the task, or it was cancelled.
                print(f"{task['id']} not reported: {error.read().decode()}", file=sys.stderr)


if __name__ == "__main__":
    main()
