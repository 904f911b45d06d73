"""What turns a signal into frames. Every encoder has the same interface.

`encoder(wav, lengths) -> Frames`, and the attributes `layers` (L), `dim` (D) and
`standardise`: whether its channels have to be brought to one scale with training statistics.
openSMILE's functionals are one frame; the classical path takes them without torch through
`affekt.encoders.opensmile.functionals`.
"""

ENCODERS: dict[str, str] = {
    "log-mel": "affekt.encoders.spectral:LogMel",
    "mfcc": "affekt.encoders.spectral:MFCC",
    "opensmile": "affekt.encoders.opensmile:OpenSmile",
    "speech": "affekt.encoders.speech:Speech",
}
