from __future__ import annotations

from pathlib import Path

import pytest

from app.emilia.settings import SETTINGS, EmiliaSettings, changed, read_config
from app.errors import UsageError


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "emilia.toml"
    path.write_text(text)
    return path


def test_the_defaults_are_those_of_emilia() -> None:
    settings = EmiliaSettings()

    assert (settings.longest_turn_s, settings.shortest_s, settings.longest_s) == (20, 3, 30)
    assert (settings.merge_below_s, settings.merge_gap_s, settings.merge_span_s) == (3, 2, 30)
    assert set(settings.languages) == {"zh", "en", "fr", "ja", "ko", "de"}
    assert (settings.language_probability_above, settings.dnsmos_min) == (0.8, 3.0)
    assert (settings.characters_min, settings.iqr_factor, settings.target_dbfs) == (2, 1.5, -20)


def test_every_setting_says_what_it_is_and_can_be_set_to_its_default() -> None:
    for name, field in SETTINGS.items():
        assert field.metadata["doc"]
        assert changed(EmiliaSettings(), {name: field.default}) == EmiliaSettings()


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    file = config(tmp_path, 'dnsmos_min = 3.2\nlanguages = ["en", "ES"]\nlongest_s = 20\n')

    settings = read_config(file, EmiliaSettings())

    assert (settings.dnsmos_min, settings.languages, settings.longest_s) == (3.2, ("en", "es"), 20.0)
    assert settings.shortest_s == 3.0


def test_compat_brings_back_the_choices_of_the_original_alone() -> None:
    ours, theirs = EmiliaSettings(dnsmos_min=2.5), EmiliaSettings(dnsmos_min=2.5).compat()

    differ = {name for name in SETTINGS if getattr(ours, name) != getattr(theirs, name)}
    assert differ == {"peak", "overlaps", "unbroken", "rate_over", "mp3_kbps"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dnsmos = 3", "unknown key 'dnsmos'; known are target_dbfs"),
        ('dnsmos_min = "high"', "dnsmos_min = 'high': must be a number"),
        ("dnsmos_min = true", "dnsmos_min = True: must be a number"),
        ("dnsmos_min = nan", "dnsmos_min = nan: must be at least 0 and at most 5"),
        ("target_dbfs = -inf", "target_dbfs = -inf: must be at most 0"),
        ("characters_min = 2.5", "characters_min = 2.5: must be a whole number"),
        ("longest_s = 31", "longest_s = 31.0: must be at least 1 and at most 30"),
        ('audio_format = "ogg"', "audio_format = 'ogg': must be one of mp3, flac"),
        ('languages = ["en", "xx"]', "it does not know 'xx'"),
        ('languages = ["en", "all"]', 'or "all" alone'),
        ("languages = []", 'must be a list of ISO 639-1 codes, or "all"'),
        ("shortest_s = 9\nlongest_s = 8", "shortest_s = 9 must be below longest_s = 8"),
        ("dnsmos_min = 3 4", "not a TOML file: "),
    ],
)
def test_a_wrong_file_is_one_line_with_its_name_and_the_key(tmp_path: Path, text: str, said: str) -> None:
    file = config(tmp_path, text)

    with pytest.raises(UsageError) as error:
        read_config(file, EmiliaSettings())

    assert str(error.value).startswith(f"{file}: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_config_that_is_not_there_or_no_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_config(tmp_path / "none.toml", EmiliaSettings())
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not a TOML file"):
        read_config(tmp_path / "binary.toml", EmiliaSettings())


def test_the_manual_lists_every_setting_as_it_is() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "emilia.md").read_text()

    for name, field in SETTINGS.items():
        (row,) = [line for line in manual.splitlines() if line.startswith(f"| `{name}` |")]
        default = ", ".join(field.default) if isinstance(field.default, tuple) else field.default
        default = str(default).lower() if isinstance(default, bool) else default  # as TOML writes it
        assert f"| `{default}` |" in row or (default == "" and "| none |" in row)
        assert field.metadata["doc"] in row
