from app.text import ends_sentence, joined, plain
from app.transcript import Segment, Transcript

LONGEST_S = 60.0
"""After this a paragraph ends with the next sentence, though the same one speaks on."""


def paragraphs(transcript: Transcript) -> list[Segment]:
    """The transcript for reading: what one speaker says with no other between; long turns in parts. Without words."""
    groups: list[list[Segment]] = []
    for segment in transcript.segments:
        if groups and _goes_on(groups[-1], segment):
            groups[-1].append(segment)
        else:
            groups.append([segment])
    return [
        Segment(group[0].start, group[-1].end, joined(plain(part.text) for part in group), speaker=group[0].speaker)
        for group in groups
    ]


def _goes_on(group: list[Segment], segment: Segment) -> bool:
    first, last = group[0], group[-1]
    return segment.speaker == first.speaker and (last.end - first.start < LONGEST_S or not ends_sentence(last.text))
