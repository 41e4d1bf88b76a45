"""What the CUDA driver shows here, by its own library, without a context: cards in their order, how code is loaded."""

from __future__ import annotations

import ctypes
import json

NO_DEVICE = 100
LOADING = {1: "EAGER", 2: "LAZY"}
PLACES = ("libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1")


def main() -> None:
    """Initialise the driver, and ask."""
    for place in PLACES:
        try:
            cuda = ctypes.CDLL(place)
            break
        except OSError:
            pass
    else:
        print(json.dumps({"fault": "there is no CUDA driver (libcuda.so.1)"}))
        return
    failed = cuda.cuInit(0)
    if failed not in (0, NO_DEVICE):
        print(json.dumps({"fault": f"the CUDA driver can't be initialised: cuInit gives error {failed}"}))
        return
    print(json.dumps({"cards": [] if failed else _cards(cuda), "loading": None if failed else _loading(cuda)}))


def _cards(cuda: ctypes.CDLL) -> list[dict[str, str]]:
    count = ctypes.c_int()
    cuda.cuDeviceGetCount(ctypes.byref(count))
    cards = []
    for index in range(count.value):
        device, bus, uuid = ctypes.c_int(), ctypes.create_string_buffer(32), (ctypes.c_ubyte * 16)()
        cuda.cuDeviceGet(ctypes.byref(device), index)
        cuda.cuDeviceGetPCIBusId(bus, len(bus), device)
        cuda.cuDeviceGetUuid(ctypes.byref(uuid), device)
        text = bytes(uuid).hex()
        parts = (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
        cards.append({"bus": bus.value.decode(), "uuid": f"GPU-{'-'.join(parts)}"})
    return cards


def _loading(cuda: ctypes.CDLL) -> str | None:
    mode = ctypes.c_int()
    if not hasattr(cuda, "cuModuleGetLoadingMode") or cuda.cuModuleGetLoadingMode(ctypes.byref(mode)):
        return None
    return LOADING.get(mode.value)


if __name__ == "__main__":
    main()
