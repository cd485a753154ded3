"""Former path of :mod:`stgraph.video.file`, kept for scripts written before 0.1.0."""

from stgraph.video.file import VideoInfo as VideoInfo
from stgraph.video.file import probe_video as probe_video
