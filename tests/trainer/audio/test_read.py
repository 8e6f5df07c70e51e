"""Audio files of any sample rate and number of channels are read as 16 kHz mono; unusable files are rejected."""

import numpy as np
import pytest
import soundfile

from synpat_train.audio.read import UnreadableAudio, read_audio


def tone(hertz: float, seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """Return a sine of amplitude 0.5: float64 [samples, channels]."""
    time = np.arange(round(seconds * rate)) / rate
    return np.repeat(0.5 * np.sin(2 * np.pi * hertz * time)[:, None], channels, axis=1)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_tone_is_unchanged_by_resampling(tmp_path, rate, channels):
    soundfile.write(tmp_path / "a.wav", tone(440, 1, rate, channels), rate)
    waveform = read_audio(tmp_path / "a.wav")
    assert waveform.dtype == np.float32
    # The ends are left out: a resampler lacks samples there.
    np.testing.assert_allclose(waveform[1000:-1000], tone(440, 1, 16000)[1000:-1000, 0], atol=2e-3)


@pytest.mark.parametrize(
    ("suffix", "format", "subtype"), [("mp3", "MP3", None), ("opus", "OGG", "OPUS"), ("ogg", "OGG", None)]
)
def test_compressed_audio_is_read_at_16_khz(tmp_path, suffix, format, subtype):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tone(440, 1, 48000, 2), 48000, format=format, subtype=subtype)
    waveform = read_audio(path)
    assert abs(len(waveform) - 16000) < 1600  # MP3 adds up to two frames of 1152 samples
    spectrum = np.abs(np.fft.rfft(waveform[4000:12000]))
    assert spectrum.argmax() * 2 == 440  # 2 Hz a bin
    assert np.abs(waveform[4000:12000]).max() == pytest.approx(0.5, abs=0.05)


def test_channels_are_averaged(tmp_path):
    left, right = tone(440, 0.1, 16000), tone(900, 0.1, 16000)
    soundfile.write(tmp_path / "a.wav", np.hstack([left, right]), 16000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), (left + right)[:, 0] / 2, atol=1e-6)


def write_no_file(path):
    pass


def write_garbage(path):
    path.write_bytes(b"this is not audio" * 100)


def write_no_bytes(path):
    path.touch()


def write_no_samples(path):
    soundfile.write(path, np.zeros(0), 16000)


def write_silence(path):
    soundfile.write(path, np.zeros(1600), 16000)


def write_infinity(path):
    soundfile.write(path, np.array([0.0, np.inf, 0.5]), 16000, subtype="FLOAT")


def write_nan(path):
    soundfile.write(path, np.array([0.0, np.nan, 0.5]), 16000, subtype="DOUBLE")


def write_flac_without_length(path):
    """Write the header that an encoder writes into a pipe."""
    soundfile.write(path, tone(440, 0.1, 16000), 16000, format="FLAC")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the number of samples, 36 bits
    data[22:26] = bytes(4)
    path.write_bytes(data)


def write_rate_of_zero(path):
    soundfile.write(path, tone(440, 0.1, 16000), 16000, format="WAV")
    data = bytearray(path.read_bytes())
    data[24:28] = bytes(4)
    path.write_bytes(data)


def write_half_a_header(path):
    soundfile.write(path, tone(440, 0.1, 16000), 16000, format="WAV")
    path.write_bytes(path.read_bytes()[:30])


def write_one_sample_in_many(path):
    soundfile.write(path, np.array([[0.5], [0.1]]), 192_000)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (write_no_file, "no such file"),
        (write_garbage, "cannot be decoded"),
        (write_no_bytes, "cannot be decoded"),
        (write_no_samples, "empty"),
        (write_silence, "silent"),
        (write_infinity, "not finite"),
        (write_nan, "not finite"),
        (write_flac_without_length, "its header has no length"),
        (write_rate_of_zero, "cannot be"),
        (write_half_a_header, "cannot be decoded|empty"),
        (write_one_sample_in_many, "too short"),
    ],
)
def test_error_for_unusable_file_names_file_and_reason(tmp_path, write, reason):
    write(tmp_path / "a.wav")
    with pytest.raises(UnreadableAudio, match=rf"a\.wav: .*{reason}") as error:
        read_audio(tmp_path / "a.wav")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a.raw", "a\0.wav", "a" * 300 + ".wav"])
def test_error_for_a_name_that_cannot_be_read(tmp_path, name):
    if len(name) < 300 and "\0" not in name:
        (tmp_path / name).write_bytes(bytes(3200))
    with pytest.raises(UnreadableAudio, match=r"no such file|cannot be decoded \(.*samplerate"):
        read_audio(tmp_path / name)


def test_any_error_of_a_library_names_the_file(tmp_path, monkeypatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    soundfile.write(tmp_path / "a.wav", tone(440, 0.1, 8000), 8000)
    monkeypatch.setattr("soxr.resample", broken)
    with pytest.raises(UnreadableAudio, match=r"a\.wav: cannot be resampled from 8000 Hz \(ZeroDivisionError\)"):
        read_audio(tmp_path / "a.wav")


def test_audio_under_another_suffix_is_read(tmp_path):
    soundfile.write(tmp_path / "a.mp3", tone(440, 0.1, 16000), 16000, format="WAV")
    soundfile.write(tmp_path / "b.wav", tone(440, 0.1, 16000), 16000, format="MP3")
    assert len(read_audio(tmp_path / "a.mp3")) == 1600
    assert len(read_audio(tmp_path / "b.wav")) >= 1600
