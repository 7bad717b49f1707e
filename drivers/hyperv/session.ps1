# machine-hyperv session 1
#
# The PowerShell side of the driver. It reads requests from the reader that it is
# given, a JSON object in each line: {"id": 1, "op": "probe", "args": {...}}, and
# answers each by a line on standard output: {"id": 1, "ok": true, "value": {...}}
# or {"id": 1, "ok": false, "error": {...}}. It ends when there are no more requests.
#
# What comes in a request is data. It is handed to cmdlets as values of parameters
# and never becomes a part of a command.
#
# It is for Windows PowerShell 5.1 and PowerShell 7, and keeps to what both know.
param([System.IO.TextReader] $Requests)

$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'
$VerbosePreference = 'SilentlyContinue'
$ConfirmPreference = 'None'

# Windows PowerShell writes some arrays as {"value": [...], "Count": n} unless this is
# taken away.
Remove-TypeData -TypeName System.Array -ErrorAction SilentlyContinue

# What a failure is about, for those that are told here and not by a cmdlet.
$script:FailureKind = ''

function Stop-Operation([string] $Kind, [string] $Message) {
    $script:FailureKind = $Kind
    throw $Message
}

# Tells whether the user may manage Hyper-V.
function Test-Rights([bool] $OnlyAdministrators) {
    $identity = [System.Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object System.Security.Principal.WindowsPrincipal($identity)
    if ($principal.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)) { return $true }
    if ($OnlyAdministrators) { return $false }
    $group = New-Object System.Security.Principal.SecurityIdentifier('S-1-5-32-578')
    return [bool]$principal.IsInRole($group)
}

# A PowerShell whose command was killed goes on with what it is at. The next one waits
# for that before it decides whether something must be made.
$script:Turn = New-Object System.Threading.Mutex($false, 'Local\machine-hyperv')

function Wait-Turn {
    try {
        $null = $script:Turn.WaitOne()
    } catch {
        # The one who had it died: it is ours now.
        return
    }
}

function Complete-Turn {
    try {
        $script:Turn.ReleaseMutex()
    } catch {
        # It was not had: better out of turn than not at all.
        return
    }
}

# Finding things. Cmdlets take patterns for names, so names are compared here.

# All virtual machines. Some versions of Windows show none to those who may not see
# them, which must not be taken for their absence.
function Get-Machines {
    $all = @(Get-VM)
    if ($all.Count -eq 0 -and -not (Test-Rights $false)) {
        Stop-Operation 'denied' 'You do not have the required permission to complete this task: Hyper-V shows no virtual machines to this user.'
    }
    return $all
}

function Find-Machine([string] $Id) {
    foreach ($vm in @(Get-Machines)) {
        if ([string]$vm.Id -eq $Id) { return $vm }
    }
    return $null
}

function Get-Machine([string] $Id) {
    $vm = Find-Machine $Id
    if ($null -eq $vm) {
        Stop-Operation 'notfound' ('Hyper-V was unable to find a virtual machine with id ' + $Id + '.')
    }
    return $vm
}

function Find-Switch([string] $Id) {
    foreach ($vmSwitch in @(Get-VMSwitch)) {
        if ([string]$vmSwitch.Id -eq $Id) { return $vmSwitch }
    }
    return $null
}

function Test-IPv4([string] $Text) {
    return ($Text -match '^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$')
}

# Questions.

function Invoke-Probe($a) {
    $system = Get-CimInstance -ClassName Win32_ComputerSystem
    $windows = Get-CimInstance -ClassName Win32_OperatingSystem
    $service = Get-Service -Name vmms -ErrorAction SilentlyContinue
    $state = ''
    if ($null -ne $service) { $state = [string]$service.Status }
    return @{
        powershell = [string]$PSVersionTable.PSVersion
        windows    = [string]$windows.Version
        admin      = [bool](Test-Rights $true)
        hyperVAdmin = [bool](Test-Rights $false)
        module     = [bool](Get-Module -ListAvailable -Name Hyper-V)
        service    = $state
        hypervisor = [bool]$system.HypervisorPresent
        processors = [int]$system.NumberOfLogicalProcessors
        memory     = [int64]$system.TotalPhysicalMemory
    }
}

# Addresses that this computer knows of a MAC address, from its table of neighbours.
function Get-NeighbourTable {
    $table = @{}
    foreach ($n in @(Get-NetNeighbor -AddressFamily IPv4 -ErrorAction SilentlyContinue)) {
        $mac = ([string]$n.LinkLayerAddress).Replace('-', '').ToUpperInvariant()
        if ($mac -eq '' -or $mac -eq '000000000000') { continue }
        if ([string]$n.State -eq 'Unreachable' -or [string]$n.State -eq 'Incomplete') { continue }
        if (-not $table.ContainsKey($mac)) { $table[$mac] = @() }
        # An address of before may still be there: the one that answers comes first.
        if ([string]$n.State -eq 'Reachable') {
            $table[$mac] = @([string]$n.IPAddress) + @($table[$mac])
        } else {
            $table[$mac] += [string]$n.IPAddress
        }
    }
    return $table
}

# The virtual machines, all of them or those with one of the ids.
function Invoke-ListMachines($a) {
    $wanted = @{}
    foreach ($id in @($a.ids)) {
        if ($null -ne $id) { $wanted[([string]$id).ToLowerInvariant()] = $true }
    }
    if ($wanted.Count -eq 0) {
        Wait-Turn
        Complete-Turn
    }
    $table = $null
    $found = @()
    foreach ($vm in @(Get-Machines)) {
        $id = [string]$vm.Id
        if ($wanted.Count -gt 0 -and -not $wanted.ContainsKey($id.ToLowerInvariant())) { continue }
        $adapters = @()
        foreach ($adapter in @($vm.NetworkAdapters)) {
            if ($null -eq $adapter) { continue }
            $mac = ([string]$adapter.MacAddress).ToUpperInvariant()
            $addresses = @()
            foreach ($ip in @($adapter.IPAddresses)) {
                if (Test-IPv4 ([string]$ip)) { $addresses += [string]$ip }
            }
            $neighbours = @()
            if ($addresses.Count -eq 0 -and [string]$vm.State -eq 'Running') {
                if ($null -eq $table) { $table = Get-NeighbourTable }
                if ($table.ContainsKey($mac)) { $neighbours = @($table[$mac]) }
            }
            $adapters += @{
                mac = $mac
                switch = [string]$adapter.SwitchName
                switchId = [string]$adapter.SwitchId
                addresses = $addresses
                neighbours = $neighbours
            }
        }
        $found += @{
            id = $id
            name = [string]$vm.Name
            state = [string]$vm.State
            status = [string]$vm.Status
            generation = [int]$vm.Generation
            notes = [string]$vm.Notes
            path = [string]$vm.Path
            adapters = $adapters
        }
    }
    return @{ machines = $found }
}

function Invoke-ListSwitches($a) {
    # Not everybody who may manage Hyper-V may see what Windows translates.
    $nats = @()
    $known = $true
    try {
        $nats = @(Get-NetNat)
    } catch {
        $known = $false
    }
    $all = @(Get-NetIPAddress -AddressFamily IPv4 -ErrorAction SilentlyContinue)
    $found = @()
    $aliases = @{}
    foreach ($vmSwitch in @(Get-VMSwitch)) {
        $alias = 'vEthernet (' + [string]$vmSwitch.Name + ')'
        $aliases[$alias] = $true
        $addresses = @()
        foreach ($ip in $all) {
            if ($null -ne $ip -and [string]$ip.InterfaceAlias -eq $alias) {
                $addresses += ([string]$ip.IPAddress + '/' + [string]$ip.PrefixLength)
            }
        }
        $found += @{
            id = [string]$vmSwitch.Id
            name = [string]$vmSwitch.Name
            type = [string]$vmSwitch.SwitchType
            notes = [string]$vmSwitch.Notes
            addresses = $addresses
        }
    }
    $others = @()
    foreach ($ip in $all) {
        if ($null -eq $ip -or $aliases.ContainsKey([string]$ip.InterfaceAlias)) { continue }
        $others += @{ name = [string]$ip.InterfaceAlias; address = ([string]$ip.IPAddress + '/' + [string]$ip.PrefixLength) }
    }
    $ranges = @()
    foreach ($nat in $nats) {
        if ($null -eq $nat) { continue }
        $ranges += @{ name = [string]$nat.Name; subnet = [string]$nat.InternalIPInterfaceAddressPrefix }
    }
    return @{ switches = $found; nats = $ranges; natsKnown = $known; others = $others }
}

# The name servers that this computer asks, for guests that have no DHCP.
function Invoke-NameServers($a) {
    $found = @()
    foreach ($entry in @(Get-DnsClientServerAddress -AddressFamily IPv4 -ErrorAction SilentlyContinue)) {
        if ($null -eq $entry) { continue }
        foreach ($ip in @($entry.ServerAddresses)) {
            if ($null -eq $ip -or $found -contains [string]$ip) { continue }
            $found += [string]$ip
        }
    }
    return @{ servers = $found }
}

# Networks.

# An internal switch, this computer's address on it, and network address translation
# for it. Each part is made unless it is there.
function Invoke-MakeNat($a) {
    Wait-Turn
    try {
        return New-Nat $a
    } finally {
        Complete-Turn
    }
}

function New-Nat($a) {
    $vmSwitch = $null
    foreach ($s in @(Get-VMSwitch)) {
        if ([string]$s.Name -eq [string]$a.name) { $vmSwitch = $s }
    }
    if ($null -eq $vmSwitch) {
        $vmSwitch = New-VMSwitch -Name ([string]$a.name) -SwitchType Internal -Notes ([string]$a.notes)
    }
    $alias = 'vEthernet (' + [string]$vmSwitch.Name + ')'
    # Windows may take a moment to show this computer's adapter on a new switch.
    $card = $null
    for ($try = 0; $null -eq $card -and $try -lt 20; $try++) {
        if ($try -gt 0) { Start-Sleep -Milliseconds 500 }
        foreach ($n in @(Get-NetAdapter)) {
            if ([string]$n.Name -eq $alias) { $card = $n }
        }
    }
    if ($null -eq $card) {
        Stop-Operation 'notfound' ('Windows has no network adapter "' + $alias + '" for the switch.')
    }
    $there = $false
    foreach ($ip in @(Get-NetIPAddress -AddressFamily IPv4 -ErrorAction SilentlyContinue)) {
        if ($null -ne $ip -and [int]$ip.InterfaceIndex -eq [int]$card.ifIndex -and [string]$ip.IPAddress -eq [string]$a.gateway) { $there = $true }
    }
    if (-not $there) {
        $null = New-NetIPAddress -IPAddress ([string]$a.gateway) -PrefixLength ([byte]$a.bits) -InterfaceIndex ([int]$card.ifIndex)
    }
    $there = $false
    foreach ($nat in @(Get-NetNat -ErrorAction SilentlyContinue)) {
        if ($null -ne $nat -and [string]$nat.InternalIPInterfaceAddressPrefix -eq [string]$a.subnet) { $there = $true }
    }
    if (-not $there) {
        $null = New-NetNat -Name ([string]$a.name) -InternalIPInterfaceAddressPrefix ([string]$a.subnet)
    }
    return @{ id = [string]$vmSwitch.Id; name = [string]$vmSwitch.Name; notes = [string]$vmSwitch.Notes }
}

# The translation has the name of the switch. Virtual machines on the switch stop it.
function Invoke-RemoveNat($a) {
    $vmSwitch = Find-Switch ([string]$a.id)
    if ($null -ne $vmSwitch) {
        foreach ($vm in @(Get-Machines)) {
            foreach ($adapter in @($vm.NetworkAdapters)) {
                if ($null -ne $adapter -and [string]$adapter.SwitchId -eq [string]$a.id) {
                    Stop-Operation 'inuse' ('The switch "' + [string]$vmSwitch.Name + '" is used by the virtual machine "' + [string]$vm.Name + '".')
                }
            }
        }
    }
    foreach ($nat in @(Get-NetNat -ErrorAction SilentlyContinue)) {
        if ($null -ne $nat -and [string]$nat.Name -eq [string]$a.name) {
            Remove-NetNat -InputObject $nat -Confirm:$false
        }
    }
    if ($null -ne $vmSwitch) {
        Remove-VMSwitch -VMSwitch $vmSwitch -Force
    }
    return @{}
}

# Disks.

function Invoke-NewFixedDisk($a) {
    $null = New-VHD -Path ([string]$a.path) -SizeBytes ([uint64]$a.bytes) -Fixed
    return @{}
}

function Invoke-ConvertDisk($a) {
    Convert-VHD -Path ([string]$a.from) -DestinationPath ([string]$a.to) -VHDType Dynamic
    return @{}
}

function Invoke-GrowDisk($a) {
    $disk = Get-VHD -Path ([string]$a.path)
    if ([uint64]$disk.Size -ge [uint64]$a.bytes) {
        return @{ bytes = [uint64]$disk.Size }
    }
    Resize-VHD -Path ([string]$a.path) -SizeBytes ([uint64]$a.bytes)
    return @{ bytes = [uint64]$a.bytes }
}

# Virtual machines.

# A virtual machine, unless there is one in its folder.
function Invoke-NewMachine($a) {
    Wait-Turn
    try {
        return New-Machine $a
    } finally {
        Complete-Turn
    }
}

function New-Machine($a) {
    $folder = [System.IO.Path]::Combine([string]$a.path, [string]$a.name)
    foreach ($vm in @(Get-Machines)) {
        if ([string]$vm.Path -eq $folder) { return @{ id = [string]$vm.Id } }
    }
    $vm = New-VM -Name ([string]$a.name) -Path ([string]$a.path) -Generation ([int]$a.generation) -MemoryStartupBytes ([int64]$a.memory) -NoVHD
    Set-VM -VM $vm -Notes ([string]$a.notes)
    return @{ id = [string]$vm.Id }
}

# All that a virtual machine has. What it has already stays.
function Invoke-ConfigureMachine($a) {
    $vm = Get-Machine ([string]$a.id)
    $settings = @{
        VM = $vm
        Notes = [string]$a.notes
        AutomaticStartAction = 'Nothing'
        AutomaticStopAction = 'ShutDown'
    }
    # Windows 10 before 1709 has no automatic checkpoints.
    if ((Get-Command -Name Set-VM).Parameters.ContainsKey('AutomaticCheckpointsEnabled')) {
        $settings['AutomaticCheckpointsEnabled'] = $false
    }
    Set-VM @settings
    Set-VMProcessor -VM $vm -Count ([int64]$a.processors)
    if ([bool]$a.dynamic) {
        Set-VMMemory -VM $vm -DynamicMemoryEnabled $true -StartupBytes ([int64]$a.memory) -MinimumBytes ([int64]$a.leastMemory) -MaximumBytes ([int64]$a.memory)
    } else {
        Set-VMMemory -VM $vm -DynamicMemoryEnabled $false -StartupBytes ([int64]$a.memory)
    }
    Connect-Machine $vm $a
    Add-MachineDisks $vm $a
    return @{}
}

function Connect-Machine($vm, $a) {
    $vmSwitch = Find-Switch ([string]$a.switchId)
    if ($null -eq $vmSwitch) {
        Stop-Operation 'notfound' ('Hyper-V was unable to find a virtual switch with id ' + [string]$a.switchId + '.')
    }
    $adapters = @(Get-VMNetworkAdapter -VM $vm)
    if ($adapters.Count -eq 0) {
        Add-VMNetworkAdapter -VM $vm
        $adapters = @(Get-VMNetworkAdapter -VM $vm)
    }
    $adapter = $adapters[0]
    Set-VMNetworkAdapter -VMNetworkAdapter $adapter -StaticMacAddress ([string]$a.mac)
    if ([int]$a.vlan -gt 0) {
        Set-VMNetworkAdapterVlan -VMNetworkAdapter $adapter -Access -VlanId ([int]$a.vlan)
    }
    Connect-VMNetworkAdapter -VMNetworkAdapter $adapter -VMSwitch $vmSwitch
}

function Invoke-ConnectMachine($a) {
    Connect-Machine (Get-Machine ([string]$a.id)) $a
    return @{}
}

function Add-MachineDisks($vm, $a) {
    $second = ([int]$a.generation -ge 2)
    $kind = 'IDE'
    if ($second) { $kind = 'SCSI' }
    $disk = $null
    foreach ($drive in @(Get-VMHardDiskDrive -VM $vm)) {
        if ($null -ne $drive -and [string]$drive.Path -eq [string]$a.disk) { $disk = $drive }
    }
    if ($null -eq $disk) {
        $disk = Add-VMHardDiskDrive -VM $vm -ControllerType $kind -ControllerNumber 0 -ControllerLocation 0 -Path ([string]$a.disk) -Passthru
    }
    $dvds = @(Get-VMDvdDrive -VM $vm)
    if ($dvds.Count -gt 0) {
        Set-VMDvdDrive -VMDvdDrive $dvds[0] -Path ([string]$a.dvd)
    } else {
        Add-VMDvdDrive -VM $vm -Path ([string]$a.dvd)
    }
    if (-not $second) { return }
    if ([bool]$a.secureBoot) {
        Set-VMFirmware -VM $vm -EnableSecureBoot On -SecureBootTemplate 'MicrosoftUEFICertificateAuthority' -FirstBootDevice $disk
    } else {
        Set-VMFirmware -VM $vm -EnableSecureBoot Off -FirstBootDevice $disk
    }
}

# Start-VM also brings back a machine whose state was saved.
function Invoke-StartMachine($a) {
    Start-VM -VM (Get-Machine ([string]$a.id))
    return @{}
}

function Invoke-ResumeMachine($a) {
    Resume-VM -VM (Get-Machine ([string]$a.id))
    return @{}
}

# Asks the guest to shut down and does not wait for it, but for a refusal.
function Invoke-ShutDownMachine($a) {
    $job = Stop-VM -VM (Get-Machine ([string]$a.id)) -Force -AsJob
    $null = Wait-Job -Job $job -Timeout 3
    if ([string]$job.State -eq 'Failed') {
        $null = Receive-Job -Job $job
        Stop-Operation '' 'The guest cannot be asked to shut down.'
    }
    return @{}
}

function Invoke-TurnOffMachine($a) {
    $vm = Get-Machine ([string]$a.id)
    if ([string]$vm.State -match '^(Fast)?Saved') {
        Remove-VMSavedState -VM $vm
    } else {
        Stop-VM -VM $vm -TurnOff -Force
    }
    return @{}
}

# Checkpoints are merged by Hyper-V after the removal. Disks stay. One whose files are
# out of reach, such as OffCritical, is as off or saved as others.
function Invoke-RemoveMachine($a) {
    $vm = Find-Machine ([string]$a.id)
    if ($null -eq $vm) { return @{} }
    if ([string]$vm.State -match '^(Fast)?Saved') {
        Remove-VMSavedState -VM $vm
    } elseif ([string]$vm.State -notmatch '^Off') {
        Stop-VM -VM $vm -TurnOff -Force
    }
    Remove-VM -VM $vm -Force
    return @{}
}

# The conversation.

function Invoke-Operation([string] $Operation, $a) {
    switch -CaseSensitive ($Operation) {
        'probe' { return Invoke-Probe $a }
        'listMachines' { return Invoke-ListMachines $a }
        'listSwitches' { return Invoke-ListSwitches $a }
        'nameServers' { return Invoke-NameServers $a }
        'makeNat' { return Invoke-MakeNat $a }
        'removeNat' { return Invoke-RemoveNat $a }
        'newFixedDisk' { return Invoke-NewFixedDisk $a }
        'convertDisk' { return Invoke-ConvertDisk $a }
        'growDisk' { return Invoke-GrowDisk $a }
        'newMachine' { return Invoke-NewMachine $a }
        'configureMachine' { return Invoke-ConfigureMachine $a }
        'connectMachine' { return Invoke-ConnectMachine $a }
        'startMachine' { return Invoke-StartMachine $a }
        'resumeMachine' { return Invoke-ResumeMachine $a }
        'shutDownMachine' { return Invoke-ShutDownMachine $a }
        'turnOffMachine' { return Invoke-TurnOffMachine $a }
        'removeMachine' { return Invoke-RemoveMachine $a }
        default { Stop-Operation 'unknown' 'There is no such operation.' }
    }
}

$answers = New-Object System.IO.StreamWriter([Console]::OpenStandardOutput(), (New-Object System.Text.UTF8Encoding($false)))
$answers.AutoFlush = $true
$answers.NewLine = "`n"

while ($true) {
    $line = $Requests.ReadLine()
    if ($null -eq $line) { break }
    if ($line -eq '') { continue }
    $id = 0
    $script:FailureKind = ''
    try {
        $request = ConvertFrom-Json -InputObject $line
        $id = [int]$request.id
        $value = Invoke-Operation ([string]$request.op) $request.args
        # What a cmdlet returned besides comes before the value.
        if ($value -is [array]) { $value = $value[-1] }
        $answer = ConvertTo-Json -InputObject @{ id = $id; ok = $true; value = $value } -Depth 8 -Compress
    } catch {
        $answer = ConvertTo-Json -Depth 8 -Compress -InputObject @{
            id = $id
            ok = $false
            error = @{
                kind = [string]$script:FailureKind
                category = [string]$_.CategoryInfo.Category
                fqid = [string]$_.FullyQualifiedErrorId
                type = [string]$_.Exception.GetType().FullName
                hresult = [string]('{0:X8}' -f [int]$_.Exception.HResult)
                message = [string]$_.Exception.Message
            }
        }
    }
    $answers.WriteLine($answer)
}
