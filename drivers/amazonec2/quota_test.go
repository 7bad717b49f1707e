package amazonec2

import "testing"

func TestVCPUQuota(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"t3.micro": "Standard (A, C, D, H, I, M, R, T, Z)", "im4gn.large": "Standard (A, C, D, H, I, M, R, T, Z)", "is4gen.large": "Standard (A, C, D, H, I, M, R, T, Z)",
		"g5g.xlarge": "G and VT", "vt1.3xlarge": "G and VT", "p5.48xlarge": "P", "x2gd.medium": "X", "inf2.xlarge": "Inf", "trn1.2xlarge": "Trn",
		"u-6tb1.metal": "High Memory", "dl1.24xlarge": "DL", "hpc7g.4xlarge": "HPC", "f1.2xlarge": "F",
	} {
		if got := vcpuQuota(name, false); got != "Running On-Demand "+want+" instances" {
			t.Errorf("%s counts against %s", name, got)
		}
		if got := vcpuQuota(name, true); got != "All "+want+" Spot Instance Requests" {
			t.Errorf("spot %s counts against %s", name, got)
		}
	}
}
