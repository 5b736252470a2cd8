"""The meter, which charges by the tariff."""

import tariff


class Meter:
    """A meter that is asked for prices."""

    def ask_meter(self, arrive: int, leave: int) -> int:
        """Return the price in cents of a stay; both are whole minutes since midnight, from 0 to 1439."""
        for minute in (arrive, leave):
            if type(minute) is not int or not 0 <= minute < tariff.DAY:
                raise ValueError("arrive and leave must be whole numbers from 0 to 1439")
        return tariff.fee(arrive, leave)
