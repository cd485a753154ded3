"""Former path of :mod:`stgraph.video.frames`, kept for scripts written before 0.1.0."""

from stgraph.video.frames import read_frames as read_frames
