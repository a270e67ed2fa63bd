"""What a slider's HTML holds, read back."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from unittest import mock

from kdnotes.show.interactive import page


def shown(slider: Callable[..., None], *arguments: object, **options: object) -> dict:
    """The HTML that a slider displays (``page``), and its data, each frame a list of pieces."""
    with mock.patch.object(page, "display") as display:
        slider(*arguments, **options)
    (output,) = display.call_args.args
    found = re.search(r'<script type="application/json">(.*?)</script>', output.data, re.DOTALL)
    data = json.loads(found[1])
    frames = [[data["pool"][k] for k in frame] for frame in data["frames"]]
    return data | {"frames": frames, "page": output.data}


def said(frame: list[str]) -> str:
    return frame[-1]


def number(pattern: str, words: str) -> float:
    return float(re.search(pattern, words)[1])


def texts(frame: list[str]) -> list[str]:
    """All words of the picture, in order."""
    return [html.unescape(one) for one in re.findall(r"<text[^>]*>([^<]*)", "".join(frame[:-1]))]


def paths(frame: list[str]) -> list[str]:
    """The paths of the picture, in order."""
    return re.findall(r' d="([^"]*)"', "".join(frame[:-1]))


def boxes(frame: list[str] | str) -> list[list[float]]:
    """The boxes of a picture or of a path: x, y and the opposite corner's."""
    data = frame if isinstance(frame, str) else "".join(frame[:-1])
    found = re.findall(r"M([-\d.e]+) ([-\d.e]+)H([-\d.e]+)V([-\d.e]+)H", data)
    return [[float(one) for one in corners] for corners in found]
