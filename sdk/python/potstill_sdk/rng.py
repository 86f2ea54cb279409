"""The random number generator that environments and learners draw from."""

_MASK = (1 << 64) - 1


def _mix(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
    return z ^ (z >> 31)


class Rng:
    """SplitMix64 (Steele, Lea and Flood, 2014). The seed is mixed first, so that the streams of neighboring seeds start far
    apart. It gives the same numbers as `potstill_sdk::Rng` in Rust."""

    __slots__ = ("state",)

    def __init__(self, seed):
        self.state = _mix((seed ^ 0x5851F42D4C957F2D) & _MASK)

    def next(self):
        """Draws 64 random bits."""
        self.state = (self.state + 0x9E3779B97F4A7C15) & _MASK
        return _mix(self.state)

    def uniform(self, low=0.0, high=1.0):
        """Draws uniformly from `[low, high)`, with 53 random bits."""
        return low + (high - low) * ((self.next() >> 11) * 2.0**-53)

    def below(self, n):
        """Draws uniformly from `0..n`, without modulo bias. Returns 0 if `n` is 0."""
        rest = (1 << 64) % n if n else 0
        while True:
            wide = self.next() * n
            if wide & _MASK >= rest:
                return wide >> 64
