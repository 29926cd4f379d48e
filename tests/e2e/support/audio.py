"""Speech to send, and how alike what came out is to what went in."""
import os
import subprocess
import wave

import numpy

RATE = 8000
TEXTS = {
    "a": ("en", 150, "The quick brown fox jumps over the lazy dog. She sells sea shells by the sea "
          "shore, and the shells she sells are surely sea shells. Peter wrote it all down, twice."),
    "b": ("en+f3", 140, "Seven times seven is forty nine. Nobody expects an answer at this hour of "
          "the night, however long one waits for it to come. Still, the lamp in the hall is lit."),
}


def speech(voice, directory):
    """A WAV file of spoken text, 8 kHz, one channel, 16 bit; the two voices say different things."""
    path = os.path.join(directory, "speech-%s.wav" % voice)
    if not os.path.exists(path):
        language, speed, text = TEXTS[voice]
        spoken = path + ".22k.wav"
        subprocess.run(["espeak-ng", "-v", language, "-s", str(speed), "-w", spoken, text],
                       check=True, stdin=subprocess.DEVNULL, capture_output=True)
        subprocess.run(["sox", spoken, "-r", str(RATE), "-c", "1", "-b", "16", path,
                        "norm", "-6"], check=True, stdin=subprocess.DEVNULL, capture_output=True)
        os.unlink(spoken)
    return path


def wav_read(path):
    """Channels of a PCM16 file: array of shape (channels, samples), float; and the rate."""
    with wave.open(str(path), "rb") as file:
        assert file.getsampwidth() == 2, "%s: %d bytes a sample" % (path, file.getsampwidth())
        channels, rate = file.getnchannels(), file.getframerate()
        samples = numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    return samples.astype(float).reshape(-1, channels).T, rate


def match(received, sent):
    """Correlation coefficient of the two where they fit best, and the lag in samples (by how much
    `received` is later than `sent`). Only the part that both have is compared; the shorter of
    them must have at least half of it inside."""
    if len(received) < RATE // 2 or len(sent) < RATE // 2:
        return 0.0, 0
    size = 1 << (len(received) + len(sent)).bit_length()
    product = numpy.fft.irfft(numpy.fft.rfft(received, size) *
                              numpy.conj(numpy.fft.rfft(sent, size)), size)
    lag = int(numpy.argmax(product))
    if lag > size // 2:
        lag -= size
    first = max(lag, 0)
    last = min(len(received), len(sent) + lag)
    if last - first < min(len(received), len(sent)) // 2:
        return 0.0, lag
    one, other = received[first:last], sent[first - lag:last - lag]
    one, other = one - one.mean(), other - other.mean()
    power = numpy.sqrt((one ** 2).sum() * (other ** 2).sum())
    return (float((one * other).sum() / power) if power else 0.0), lag


def ulaw_table():
    table = numpy.zeros(256)
    for code in range(256):
        value = ~code & 0xff
        magnitude = (((value & 0x0f) << 3) + 0x84 << ((value & 0x70) >> 4)) - 0x84
        table[code] = -magnitude if value & 0x80 else magnitude
    return table


def alaw_table():
    table = numpy.zeros(256)
    for code in range(256):
        value = code ^ 0x55
        exponent, mantissa = (value & 0x70) >> 4, value & 0x0f
        magnitude = (mantissa << 4) + 8
        if exponent:
            magnitude = (magnitude + 0x100) << (exponent - 1)
        table[code] = magnitude if value & 0x80 else -magnitude
    return table


DECODE = {0: ulaw_table(), 8: alaw_table()}
