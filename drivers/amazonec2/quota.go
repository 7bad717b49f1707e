package amazonec2

import "strings"

// vcpuQuota names the quota of vCPUs that instances of a type count against, as
// Service Quotas does:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-quotas.html
func vcpuQuota(machineType string, spot bool) string {
	letters := machineType
	if i := strings.IndexAny(letters, "0123456789-."); i >= 0 {
		letters = letters[:i]
	}
	class := "Standard (A, C, D, H, I, M, R, T, Z)"
	switch letters {
	case "g", "gr", "vt":
		class = "G and VT"
	case "f", "p", "x", "dl", "hpc":
		class = strings.ToUpper(letters)
	case "inf":
		class = "Inf"
	case "trn":
		class = "Trn"
	case "u":
		class = "High Memory"
	}
	if spot {
		return "All " + class + " Spot Instance Requests"
	}
	return "Running On-Demand " + class + " instances"
}

// vcpuLimits are the codes that say that such a quota is exhausted. Another type
// or market may have a quota of its own.
func vcpuLimits() []string {
	return []string{"VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded"}
}
