"""CUDA's variables, by a driver of our own: it knows two cards, and the rules for their order and visibility."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.verify.proving import Values, compile_library, proof

DRIVER = """
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
static const char *bus[2] = {"0000:41:00.0", "0000:01:00.0"};  /* the faster one first, as by default */
static int cards[2], count;
int cuInit(unsigned flags) {
    const char *order = getenv("CUDA_DEVICE_ORDER"), *visible = getenv("CUDA_VISIBLE_DEVICES");
    int first = order && !strcmp(order, "PCI_BUS_ID");
    int all[2] = {first, !first};
    if (!visible) { memcpy(cards, all, sizeof all); count = 2; return 0; }
    for (; *visible >= '0' && *visible < '2' && count < 2; visible += visible[1] == ',' ? 2 : 1)
        cards[count++] = all[*visible - '0'];
    return count ? 0 : 100;
}
int cuDeviceGetCount(int *n) { *n = count; return 0; }
int cuDeviceGet(int *device, int index) { *device = cards[index]; return 0; }
int cuDeviceGetPCIBusId(char *text, int size, int device) { snprintf(text, size, "%s", bus[device]); return 0; }
int cuDeviceGetUuid(unsigned char *id, int device) { memset(id, 0x10 + device, 16); return 0; }
int cuModuleGetLoadingMode(int *mode) {
    const char *wanted = getenv("CUDA_MODULE_LOADING");
    *mode = wanted && !strcmp(wanted, "EAGER") ? 1 : 2;
    return 0;
}
"""


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID", "OK"),
        ("CUDA_DEVICE_ORDER", "FASTEST_FIRST", "SKIP"),
        ("CUDA_VISIBLE_DEVICES", "1", "OK"),
        ("CUDA_VISIBLE_DEVICES", "1,0", "OK"),
        ("CUDA_VISIBLE_DEVICES", "-1", "OK"),
        ("CUDA_VISIBLE_DEVICES", "0,1", "SKIP"),
        ("CUDA_VISIBLE_DEVICES", "GPU-11111111", "FAIL"),  # this driver doesn't know names
        ("CUDA_MODULE_LOADING", "EAGER", "OK"),
        ("CUDA_MODULE_LOADING", "LAZY", "SKIP"),
    ],
)
def test_cudas_view_by_a_driver_that_is_played(
    name: str, value: str, status: str, plain: Values, tmp_path: Path
) -> None:
    compile_library(tmp_path, "libcuda.so.1", DRIVER)
    cards = plain | {"LD_LIBRARY_PATH": str(tmp_path)}
    assert proof(name, value, cards | {name: value}).status == status
    assert proof(name, value, cards).status != "OK"
