"""On Linux: a process that has imported torch, and forks for each submission, in milliseconds.

``python -m kdnotes.course.grading.nursery``; its input is a socket. It runs no submission's code.
"""

from __future__ import annotations

import os
import socket

from kdnotes.course.grading import fence, student

__all__ = ["START", "main"]

START = b"start"


def main() -> None:
    """Fork for each request that brings two pipes; else say how a process ended."""
    fence.end_with_parent()
    control = socket.socket(fileno=0)
    student.prepare()
    from kdnotes.course import baseline, profiles  # noqa: F401
    from kdnotes.course.grading import designs  # noqa: F401

    while True:
        request, pipes, *_ = socket.recv_fds(control, 64, 2)
        if not request:
            return
        if request != START:
            control.send(str(os.waitpid(int(request), 0)[1]).encode())
            continue
        if child := os.fork():
            control.send(str(child).encode())
            for pipe in pipes:
                os.close(pipe)
            continue
        os.setsid()
        control.detach()
        source, target = (
            os.fdopen(one, mode) for one, mode in zip(pipes, ("rb", "wb"), strict=True)
        )
        try:
            student.serve(source, target)
        finally:
            os._exit(0)


if __name__ == "__main__":
    main()
