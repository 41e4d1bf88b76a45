"""From what a segmentation model hears in overlapping windows, and how each piece of speech sounds, to who speaks when.

A segmentation model keeps voices apart within its window by their contrast; similar voices that take turns after a
pause it often takes for one. So its windows decide here only where speech is, where the voice changes and where two
speak at once; who speaks is decided by one embedding for each piece of speech between two such places.
Arrays only: no model, no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating]
    Integers = npt.NDArray[np.integer]

CHANGE_VOTES = 0.35
"""The share of the windows that must hear another voice from here on, for a piece to end."""
CHANGE_REACH_S = 0.05
"""So far apart may windows hear the same change."""
LONGEST_PIECE_S = 3.0
"""Longer ones are cut: a change that no window heard then spoils one piece, not a whole speech."""
TELLING_S = 1.0
"""What a piece must last for clusters to be made of it; shorter ones join what longer ones made."""
DISTANCE = 0.43
"""Cosine distance, on average over the pairs of pieces, up to which two clusters are one voice: in the middle of
the gap between the two on the mixes it was chosen by (docs/quality.md)."""
SMALLEST_CLUSTER_S = 4.0
"""A voice that says less than this (or a tenth of all) is not told from noise, unless the number of speakers asks
for it."""
SWITCH_COST = 0.1
"""Of going against what the windows say of two neighbours, in seconds of cosine similarity."""
MOST_PIECES = 5000
"""Clusters are made of no more than these, spread over the whole: memory grows with their square (100 MB here)."""


@dataclass(frozen=True)
class Heard:
    """What overlapping windows say of each frame: of one speaker track in one window no more than yes or no."""

    tracks: npt.NDArray[np.uint8]
    """Shape (windows, frames of a window, speakers of a window): 1 where that speaker speaks."""
    first: Integers
    """Shape (windows,): the frame of the whole at which each window begins."""
    frames: int
    """Of the whole."""
    hop_s: float
    start_s: float
    """The middle of frame 0."""

    def time(self, frame: int) -> float:
        """Where this frame begins, half way from the one before, in seconds."""
        return max(0.0, self.start_s + (frame - 0.5) * self.hop_s)


@dataclass(frozen=True)
class Piece:
    """Frames from `first` to `after`, in which the same voices speak, as far as the windows tell."""

    first: int
    after: int
    voices: int
    """How many speak at once: 1, or 2 and more."""


def pieces(heard: Heard) -> list[Piece]:
    """All speech, in order, cut where a pause, an overlap or a change of voice is heard, and where it gets long."""
    import numpy as np

    covered = np.zeros(heard.frames)
    voices = np.zeros(heard.frames)
    changes = np.zeros(heard.frames)
    reach = round(CHANGE_REACH_S / heard.hop_s)
    for first, window in zip(heard.first.tolist(), heard.tracks, strict=True):
        tracks = window[: heard.frames - first]
        part = slice(first, first + len(tracks))
        covered[part] += 1
        voices[part] += tracks.sum(axis=1)
        changed = np.flatnonzero((tracks[1:] != tracks[:-1]).any(axis=1)) + 1
        near = np.zeros(len(tracks), bool)
        for frame in changed:
            near[max(0, frame - reach) : frame + reach + 1] = True
        changes[part] += near
    covered[covered == 0] = 1
    count = np.rint(voices / covered).astype(int)
    votes = changes / covered
    cuts = np.array([0, *(np.flatnonzero(np.diff(count)) + 1), heard.frames])
    changed_at = [peak for peak in _peaks(votes) if np.abs(cuts - peak).min() > 2 * reach]
    longest = LONGEST_PIECE_S / heard.hop_s
    found: list[Piece] = []
    for first, after in pairwise(sorted([*cuts.tolist(), *changed_at])):
        if count[first]:
            parts = int(np.ceil((after - first) / longest))
            bounds = np.linspace(first, after, parts + 1).round().astype(int).tolist()
            found += [Piece(a, b, int(count[first])) for a, b in pairwise(bounds)]
    return found


def _peaks(votes: Floats) -> list[int]:
    """Of each stretch above the threshold, the frame where most windows agree."""
    import numpy as np

    high = np.flatnonzero(votes >= CHANGE_VOTES)
    stretches = np.split(high, np.flatnonzero(np.diff(high) > 1) + 1) if len(high) else []
    return [int(run[np.flatnonzero(votes[run] == votes[run].max())].mean()) for run in stretches]


def centroids(embeddings: Floats, seconds: Floats, least: int, most: int | None) -> Floats:
    """The voices among these pieces: shape (pieces, dimension), of unit length, to (voices, dimension), alike.

    Average linkage; the cut is the one nearest to DISTANCE that gives from `least` to `most` voices, or as near to
    that as any. NaN rows and short pieces don't count, unless there is nothing else.
    """
    import numpy as np

    known = ~np.isnan(embeddings[:, 0])
    telling = np.flatnonzero(known & (seconds >= TELLING_S))
    if len(telling) < max(least, 1):
        telling = np.flatnonzero(known)
    telling = telling[:: 1 + len(telling) // MOST_PIECES]
    embeddings, seconds = embeddings[telling], seconds[telling]
    if len(embeddings) < 2:
        return embeddings
    enough = min(SMALLEST_CLUSTER_S, 0.1 * float(seconds.sum()))
    labels, counted = _cut(embeddings, seconds, least, most, enough)
    if len(counted) < least:
        labels, counted = _cut(embeddings, seconds, least, most, 0.0)
    return np.stack([_mean(embeddings[labels == voice], seconds[labels == voice]) for voice in counted])


def _cut(embeddings: Floats, seconds: Floats, least: int, most: int | None, enough: float) -> tuple[Integers, Integers]:
    """The cluster of each piece, and the clusters that have enough speech."""
    import numpy as np
    from scipy.cluster.hierarchy import fcluster, linkage

    tree = linkage(embeddings.astype(np.float64), method="average", metric="cosine")
    others = sorted([0.0, *np.unique(tree[:, 2])], key=lambda height: abs(height - DISTANCE))
    best: tuple[int, Integers, Integers] | None = None
    for distance in [DISTANCE, *others]:
        labels = fcluster(tree, distance, criterion="distance") - 1
        spoken = np.bincount(labels, weights=seconds)
        counted = np.flatnonzero(spoken >= enough)
        if not len(counted):
            counted = np.array([spoken.argmax()])
        off = max(least - len(counted), len(counted) - (most or len(counted)), 0)
        if best is None or off < best[0]:
            best = off, labels, counted
        if not off:
            break
    assert best is not None
    return best[1:]


def _mean(embeddings: Floats, seconds: Floats) -> Floats:
    import numpy as np

    total = seconds @ embeddings
    return np.asarray(total / np.linalg.norm(total))


def agreement(heard: Heard, single: Sequence[Piece]) -> Floats:
    """For each piece and the next, the share of the windows that hear both as one speaker; 0.5 where none does.

    The pieces are those where one speaks: shape (pieces - 1,).
    """
    import numpy as np

    length = heard.tracks.shape[1]
    shares = np.full(max(0, len(single) - 1), 0.5)
    for at, (one, two) in enumerate(pairwise(single)):
        lowest = np.searchsorted(heard.first, two.first - length, side="right")
        highest = np.searchsorted(heard.first, one.after, side="left")
        votes = []
        for window in range(int(lowest), int(highest)):
            first = int(heard.first[window])
            spoken = [
                heard.tracks[window, max(0, piece.first - first) : piece.after - first].sum(axis=0)
                for piece in (one, two)
            ]
            if spoken[0].any() and spoken[1].any():
                votes.append(spoken[0].argmax() == spoken[1].argmax())
        if votes:
            shares[at] = np.mean(votes)
    return shares


def smooth(similarities: Floats, seconds: Floats, agree: Floats) -> Integers:
    """The voice of each piece where one speaks: the most similar, but for what the windows say of neighbours.

    Shapes (pieces, voices), (pieces,) and (pieces - 1,) to (pieces,). A row of NaN says nothing. Keeping the voice
    where the windows heard another, and changing it where they heard the same, costs up to SWITCH_COST (Viterbi).
    """
    import numpy as np

    gains = np.nan_to_num(similarities) * seconds[:, None]
    count, voices = gains.shape
    if not count:
        return np.zeros(0, int)
    score = gains[0]
    came = np.zeros((count, voices), int)
    for at in range(1, count):
        moves = score[:, None] - SWITCH_COST * agree[at - 1] * (1 - np.eye(voices))
        moves -= SWITCH_COST * (1 - agree[at - 1]) * np.eye(voices)
        came[at] = moves.argmax(axis=0)
        score = moves.max(axis=0) + gains[at]
    path = np.full(count, score.argmax())
    for at in range(count - 1, 0, -1):
        path[at - 1] = came[at, path[at]]
    return path


def overlaps(heard: Heard, all_pieces: Sequence[Piece], voices: Integers) -> list[list[int]]:
    """The voices of each piece, the main one first: one, or where several speak at once, as many as are known.

    `voices` has the voice of each piece where one speaks, and -1 elsewhere. A window's speaker in an overlap is who
    that speaker is just before or after it, where only that one speaks.
    """
    import numpy as np

    label = np.full(heard.frames, -1)
    for piece, voice in zip(all_pieces, voices, strict=True):
        label[piece.first : piece.after] = voice
    kinds = int(voices.max(initial=-1)) + 1
    length = heard.tracks.shape[1]
    result: list[list[int]] = []
    for piece, voice in zip(all_pieces, voices, strict=True):
        if voice >= 0:
            result.append([int(voice)])
            continue
        votes = np.zeros(kinds)
        lowest = np.searchsorted(heard.first, piece.first - length, side="right")
        highest = np.searchsorted(heard.first, piece.after, side="left")
        for window in range(int(lowest), int(highest)):
            first = int(heard.first[window])
            tracks = heard.tracks[window]
            inside = slice(max(0, piece.first - first), max(0, piece.after - first))
            names = label[first : first + length]
            for speaker in np.flatnonzero(tracks[inside].any(axis=0)):
                who = _who(tracks[: len(names), speaker], names, inside)
                if who is not None:
                    votes[who] += tracks[inside, speaker].sum()
        known = [int(k) for k in np.argsort(-votes, kind="stable") if votes[k] > 0]
        before = result[-1][:1] if result else []
        result.append(known[: piece.voices] or before)
    return result


def _who(track: npt.NDArray[np.uint8], names: Integers, inside: slice) -> int | None:
    """The voice of the frames nearest to the overlap in which this track is the only one that speaks."""
    import numpy as np

    alone = np.flatnonzero((track > 0) & (names >= 0))
    if not len(alone):
        return None
    distance = np.maximum(inside.start - alone, alone - inside.stop + 1)
    nearest = alone[np.argsort(distance, kind="stable")[:30]]
    return int(np.bincount(names[nearest]).argmax())
