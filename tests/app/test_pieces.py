"""Pieces of speech from windows that hear tracks, made by hand: ten frames a second, windows of 4 s, one a second."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from app.stages.pieces import Heard, Piece, agreement, centroids, overlaps, pieces, smooth

A, B = 1, 2


def heard(*spoken: tuple[float, float, int], seconds: float = 8, blur: bool = False) -> Heard:
    """Windows that hear these voices truly; the odd ones call the first voice their second track.

    `blur`: they take all voices for one.
    """
    truth = np.zeros((round(seconds * 10), 2), np.uint8)
    for start, end, voice in spoken:
        truth[round(start * 10) : round(end * 10), 0 if blur else voice - 1] = 1
    first = np.arange(0, len(truth) - 39, 10)
    tracks = [truth[at : at + 40] if number % 2 == 0 else truth[at : at + 40, ::-1] for number, at in enumerate(first)]
    return Heard(np.stack(tracks), first, len(truth), hop_s=0.1, start_s=0.05)


def spans(found: list[Piece]) -> list[tuple[float, float, int]]:
    return [(piece.first / 10, piece.after / 10, piece.voices) for piece in found]


def unit(*vectors: list[float]) -> npt.NDArray[np.float64]:
    rows = np.array(vectors)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_speech_is_cut_at_pauses_overlaps_and_changes_of_voice() -> None:
    found = pieces(heard((1, 3, A), (3, 4.5, B), (5, 6.5, A), (6, 8, B)))
    assert spans(found) == [(1, 3, 1), (3, 4.5, 1), (5, 6, 1), (6, 6.5, 2), (6.5, 8, 1)]


def test_a_change_that_the_windows_do_not_hear_is_no_cut_but_long_speech_is() -> None:
    assert spans(pieces(heard((1, 3, A), (3, 6, B), blur=True))) == [(1, 3.5, 1), (3.5, 6, 1)]
    assert spans(pieces(heard((1, 3, A), blur=True))) == [(1, 3, 1)]


def test_silence_has_no_pieces() -> None:
    assert pieces(heard()) == []


def test_windows_agree_on_one_voice_and_not_on_two() -> None:
    windows = heard((1, 2, A), (2.5, 3.5, A), (4, 5, B))
    assert agreement(windows, pieces(windows)).tolist() == [1, 0]
    far = heard((0, 1, A), (7, 8, A))
    assert agreement(far, pieces(far)).tolist() == [0.5]


def test_the_voices_are_counted_by_distance_unless_their_number_is_told() -> None:
    sounds = unit([1, 0, 0], [1, 0.2, 0], [0.9, 0, 0.2], [0, 1, 0], [0.2, 1, 0], [0, 0.8, 0.6], [0, 0.7, 0.7])
    seconds = np.full(7, 3.0)
    assert len(centroids(sounds, seconds, 1, None)) == 2
    assert len(centroids(sounds, seconds, 3, 3)) == 3
    assert len(centroids(sounds, seconds, 3, None)) == 3
    assert len(centroids(sounds, seconds, 1, 1)) == 1
    assert np.linalg.norm(centroids(sounds, seconds, 1, None), axis=1) == pytest.approx(1)


def test_a_noise_is_no_voice_unless_the_number_asks_for_it() -> None:
    sounds = unit([1, 0, 0], [1, 0.1, 0], [1, 0, 0.1], [0, 0, 1])
    seconds = np.array([9.0, 9.0, 9.0, 1.5])
    assert len(centroids(sounds, seconds, 1, None)) == 1
    assert len(centroids(sounds, seconds, 2, 2)) == 2


def test_pieces_too_short_to_tell_do_not_make_voices() -> None:
    sounds = np.vstack([unit([1, 0], [1, 0.1]), unit([0, 1]), [[np.nan, np.nan]]])
    assert len(centroids(sounds, np.array([5.0, 5.0, 0.6, 0.1]), 1, None)) == 1
    assert len(centroids(sounds[3:], np.array([0.1]), 1, None)) == 0


def test_the_windows_decide_where_the_sound_does_not() -> None:
    sure, unsure, silent = [0.9, 0.2], [0.52, 0.5], [np.nan, np.nan]
    seconds = np.ones(2)
    for second in (unsure, silent):
        assert smooth(np.array([sure, second]), seconds, np.array([1.0])).tolist() == [0, 0]
        assert smooth(np.array([sure, second]), seconds, np.array([0.0])).tolist() == [0, 1]
    assert smooth(np.array([sure, [0.2, 0.9]]), seconds, np.array([1.0])).tolist() == [0, 1]
    assert smooth(np.zeros((0, 2)), np.zeros(0), np.zeros(0)).tolist() == []


def test_an_overlap_has_the_voices_that_speak_alone_beside_it() -> None:
    windows = heard((1, 3, A), (2.5, 5, B))
    found = pieces(windows)
    assert spans(found) == [(1, 2.5, 1), (2.5, 3, 2), (3, 5, 1)]
    named = overlaps(windows, found, np.array([0, -1, 1]))
    assert (named[0], sorted(named[1]), named[2]) == ([0], [0, 1], [1])


def test_an_overlap_that_no_window_explains_goes_to_who_spoke_before() -> None:
    windows = heard((0, 1, A), (6, 7, A), (6, 7, B))
    found = pieces(windows)
    assert overlaps(windows, found, np.array([0, -1])) == [[0], [0]]
