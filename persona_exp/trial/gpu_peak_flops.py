"""The peak FLOP/s of GPUs, by their name."""

# Peak of dense bf16 matrix products that are summed in fp32, FLOP/s, by the name that the driver gives a whole GPU (a MIG slice has another
# name). From NVIDIA's data sheets; where one gives the figure with 2:4 sparsity alone, half of that. A large matrix product reaches about
# four fifths in practice: 790 TFLOP/s of an H200's 989.
PEAKS = {
    # HGX B200 (DGX B200 data sheet: 36 PFLOP/s sparse for eight).
    "NVIDIA B200": 2250e12,
    # H200 data sheet: SXM 1,979 sparse, NVL 1,671 sparse.
    "NVIDIA H200": 989e12,
    "NVIDIA H200 NVL": 835e12,
    # GH200 data sheet: 990, the H100 SXM's.
    "NVIDIA GH200 480GB": 989e12,
    # H100 data sheet: SXM 1,979 sparse, NVL 1,671 sparse; PCIe, in its first edition and the product brief, 1,513 sparse.
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H100 PCIe": 756e12,
    # A100 data sheet: 312 in all forms.
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100-PCIE-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    # Data sheets of A30 (165), A40 (149.7) and A10 (125).
    "NVIDIA A30": 165e12,
    "NVIDIA A40": 149.7e12,
    "NVIDIA A10": 125e12,
    # Data sheets of L40S (362.05), L40 (181.05) and L4 (242 sparse).
    "NVIDIA L40S": 362e12,
    "NVIDIA L40": 181e12,
    "NVIDIA L4": 121e12,
    # Architecture white papers of GA102 (71 of the RTX 3090), Ada (165.2) and Blackwell RTX (209.5).
    "NVIDIA GeForce RTX 3090": 71e12,
    "NVIDIA GeForce RTX 4090": 165.2e12,
    "NVIDIA GeForce RTX 5090": 209.5e12,
}


def peak_flops(name: str | None) -> float | None:
    """Return the peak (FLOP/s) of the GPU of that name, as a record's hardware has it; None where it is not known, so of a processor."""
    return PEAKS.get(name or "")
