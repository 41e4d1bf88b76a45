"""Why a stretch of the input is not in the dataset: as it stands in stats.json, and in words."""

from __future__ import annotations

NO_SPEECH = "no_speech"
OVERLAP = "overlap"
SILENCE = "silence"
SEGMENT_SHORT = "segment_short"
LANGUAGE = "language"
LANGUAGE_UNCERTAIN = "language_uncertain"
TEXT_SHORT = "text_short"
DURATION = "duration"
DNSMOS = "dnsmos"
SPEAKING_RATE = "speaking_rate"
ENCODE_FAILED = "encode_failed"
FILE_FAILED = "file_failed"

WORDS = {
    NO_SPEECH: "nobody speaks",
    OVERLAP: "several speak at once",
    SILENCE: "a silence that a long turn was cut at",
    SEGMENT_SHORT: "the segment is too short",
    LANGUAGE: "a language that is not asked for",
    LANGUAGE_UNCERTAIN: "the language is uncertain",
    TEXT_SHORT: "too little text",
    DURATION: "shorter or longer than a segment may be",
    DNSMOS: "DNSMOS too low",
    SPEAKING_RATE: "spoken too fast or too slowly for its text",
    ENCODE_FAILED: "the segment could not be encoded",
    FILE_FAILED: "the file could not be processed",
}
"""In the order in which they are asked: each stretch has the first that holds."""
