"""The process beside a server that forks a child for each file to open: `python -m vccapp.data.stores.opener SOCKET`.

It ends with the server: its standard input is a pipe that the server holds.
"""

import importlib
import os
import pickle
import select
import signal
import socket
import sys
from operator import attrgetter

from vccapp.data.stores.bounded import memory_bounded
from vccapp.errors import ResourceError, VccAppError

PRELOADED = ("anndata.io", "h5py", "zarr", "vccapp.data.reading.opening", "vccapp.data.reading.predicted")


def main(address: str) -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen()
        print("ready", flush=True)
        while True:
            readable, _, _ = select.select([door, sys.stdin], [], [])
            if sys.stdin in readable and not os.read(sys.stdin.fileno(), 1):
                return
            if door in readable:
                wire, _ = door.accept()
                with wire:
                    if os.fork() == 0:
                        door.close()
                        _serve(wire)
                        os._exit(0)


def _serve(wire: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with wire.makefile("rwb") as file:
        module, name, args, memory_bytes = pickle.load(file)
        pickle.dump(os.getpid(), file)
        file.flush()
        try:
            with memory_bounded(memory_bytes):
                answer = True, attrgetter(name)(importlib.import_module(module))(*args)
            content = pickle.dumps(answer)
        except VccAppError as error:
            content = pickle.dumps((False, error))
        except MemoryError:
            problem = "Opening it takes more memory than is allowed"
            content = pickle.dumps((False, ResourceError("memory", problem, fix="raise VCCAPP_MEMORY_GB")))
        except Exception as error:
            content = pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
        file.write(content)
        file.flush()


if __name__ == "__main__":
    main(sys.argv[1])
