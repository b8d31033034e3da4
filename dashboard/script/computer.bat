<# : Enrols Android devices that are attached to this computer by adb
@echo off
setlocal
set "MUSTER_SCRIPT=%~f0"
set "MUSTER_WORK="
powershell.exe -NoLogo -NoProfile -ExecutionPolicy Bypass -Command "& ([ScriptBlock]::Create([IO.File]::ReadAllText($env:MUSTER_SCRIPT))) %*"
set "MUSTER_CODE=%errorlevel%"
if "%~1"=="" pause
exit /b %MUSTER_CODE%
#>
# Made by Muster @VERSION@. Double-click it for the one device that is attached, or in a command prompt:
#
#   muster-enroll.bat [-All | -Serial SERIAL] [-Device ID] [-TokenFile FILE] [-Anew] [-Wait SECONDS]
#
# Needs adb in the PATH, and curl.exe, which Windows 10 (1803) and later have. A device makes its key itself and keeps
# it; only this computer has to reach the bridge. May be run again: it repairs what is missing, and otherwise says
# "already enrolled". Exit codes: 0 all are enrolled and heard, 1 none, 2 wrong usage, 7 some.
param([switch]$All, [string]$Serial = '', [string]$Device = '', [string]$TokenFile = '', [switch]$Anew, [int]$Wait = 60,
	[int]$Number = -1, [string]$State = '')

$bridge = @BRIDGE@
$token = @TOKEN@
$authority = @AUTHORITY@
$configuration = @CONFIGURATION@
$packages = @PACKAGES@ # a line each: ABI, name, SHA-256
$faults = @FAULTS@
$deviceScript = @DEVICE_SCRIPT@
$agentHome = '/data/local/tmp/muster'
$tab = [string][char]9
$newline = [string][char]10

function Stop-Usage([string]$what) {
	Write-Host "muster-enroll: $what"
	Write-Host 'usage: muster-enroll.bat [-All | -Serial SERIAL] [-Device ID] [-TokenFile FILE] [-Anew] [-Wait SECONDS]'
	exit 2
}

# As the device and curl take them: without a mark of the byte order, and with line feeds only.
function Set-Text([string]$path, [string]$text) {
	[IO.File]::WriteAllText($path, ($text -replace "`r", ''), (New-Object Text.UTF8Encoding $false))
}

function Get-Lines([string]$text) { ($text -replace "`r", '') -split $newline | Where-Object { $_ -ne '' } }

# ---- one device: in a process of its own, with $Serial, $State and $mine ----

function Say([string]$what) { Write-Host "${Serial}: $what" }

function Set-Finished([string]$result, [string]$name, [string]$what, [string]$cure) {
	Set-Text "$mine\row" (@($Serial, $result, $name, $what, $cure) -join $tab)
	if ($what) { Say "${result}: $what" } else { Say $result }
}

function Stop-Device([string]$fault, [string]$detail) {
	$row = Get-Lines $faults | Where-Object { $_.StartsWith("$fault|") } | Select-Object -First 1
	$parts = $row -split '\|'
	$what = $parts[1]
	if ($detail) { $what = "$what ($($detail -replace $tab, ' '))" }
	Set-Finished 'failed' '-' $what $parts[2]
	exit 1
}

# adb itself failed: because of the device's storage, for another reason that it tells, or since the device has gone.
function Stop-Adb([string[]]$said) {
	$text = $said -join ' '
	$last = $said | Select-Object -Last 1
	if ($text -match 'No space left') { Stop-Device 'storage' $last }
	if ($text -match 'unauthorized') { Stop-Device 'unauthorized' '' }
	if ($text -match 'remote') { Stop-Device 'adb' $last }
	Stop-Device 'unplugged' $last
}

# What a device says is shown to people: nothing in it may steer their terminal.
function Get-Printable([string]$text) { ($text -replace '[^ -~]', '').Trim() }

function Push([string]$file, [string]$to) {
	$said = @(& adb -s $Serial push $file $to 2>&1 | ForEach-Object { Get-Printable "$_" })
	if ($LASTEXITCODE -ne 0) { Stop-Adb $said }
}

function On-Device([string]$words) { # words for enroll.sh; returns its answer
	$said = @(& adb -s $Serial shell -n "sh $agentHome/enroll.sh $words" 2>&1 | ForEach-Object { Get-Printable "$_" })
	$code = $LASTEXITCODE
	$answer = "$($said | Select-Object -Last 1)"
	if ($answer.StartsWith('fault ')) {
		$parts = $answer -split ' ', 3
		Stop-Device $parts[1] $parts[2]
	}
	if ($code -ne 0) { Stop-Adb $said }
	$answer
}

# The first that needs a package fetches it for all.
function Fetch([string]$name, [string]$sum) {
	$folder = "$work\$sum"
	$first = $true
	try { New-Item -ItemType Directory -Path $folder -ErrorAction Stop | Out-Null } catch { $first = $false }
	if ($first) {
		$words = '-sS', '--fail', '--ssl-no-revoke', '--cacert', "$work\authority.pem", '--max-time', '300'
		$said = @(& curl.exe $words -o "$folder\part" "$bridge/v1/agents/$name" 2>&1 | ForEach-Object { "$_" })
		if ($LASTEXITCODE -ne 0) { Set-Text "$folder\problem" "$($said | Select-Object -First 1) " }
		elseif ((Get-FileHash -Algorithm SHA256 "$folder\part").Hash.ToLower() -ne $sum) {
			Set-Text "$folder\problem" 'what came is not what this script was made for'
		}
		else { Move-Item "$folder\part" "$folder\package.tar.gz" }
	}
	while (-not (Test-Path "$folder\package.tar.gz") -and -not (Test-Path "$folder\problem")) {
		Start-Sleep -Milliseconds 200
	}
	if (-not (Test-Path "$folder\package.tar.gz")) {
		Stop-Device 'download' ([IO.File]::ReadAllText("$folder\problem"))
	}
}

# The device's request: the bridge's answer goes into answer.json. The question is a file, so that the token is in no
# program's arguments.
function Ask-Bridge([string]$request) {
	if (-not $token) { Stop-Device 'no-token' '' }
	for ($tries = 1; $tries -le 6; $tries++) {
		Set-Text "$mine\question.json" ('{"token":"' + $token + '",' + $request.Substring(1))
		$words = '-sS', '--ssl-no-revoke', '--cacert', "$work\authority.pem", '--max-time', '60', '-w', '%{http_code}',
			'-H', 'Content-Type: application/json', '--data-binary', "@$mine\question.json"
		$said = @(& curl.exe $words -o "$mine\answer.json" "$bridge/v1/enroll" 2>&1 | ForEach-Object { "$_" })
		$code = $LASTEXITCODE
		Remove-Item "$mine\question.json"
		$status = "$($said | Select-Object -Last 1)"
		if ($code -ne 0) { Stop-Device 'bridge' ($said | Select-Object -First 1) }
		if ($status -ne '503') { break }
		Start-Sleep -Seconds 5
	}
	$problem = ''
	if ([IO.File]::ReadAllText("$mine\answer.json") -match '"detail":"([^"]*)"') { $problem = $Matches[1] }
	switch ($status) {
		'200' { }
		'201' { }
		'403' { Stop-Device 'token' '' }
		'409' { Stop-Device 'taken' $Device }
		'429' { Stop-Device 'limit' $problem }
		default { Stop-Device 'answer' "HTTP ${status}: $problem" }
	}
}

function Enroll {
	$result = 'already enrolled'
	Push "$work\enroll.sh" "$agentHome/enroll.sh"
	$about = (On-Device 'probe') -split ' '
	$package = Get-Lines $packages | Where-Object { $_.StartsWith("$($about[1]) ") } | Select-Object -First 1
	if (-not $package) { Stop-Device 'abi' $about[1] }
	$name, $sum = ($package -split ' ')[1, 2]
	if ($about[2] -ne $sum) {
		Say 'fetching the agent'
		Fetch $name $sum
		Say 'installing the agent'
		Push "$work\$sum\package.tar.gz" "$agentHome/package.tar.gz"
		$result = 'repaired'
	}
	Push "$work\muster-agent.conf.new" "$agentHome/muster-agent.conf.new"
	$mode = if ($Anew) { 'anew' } else { 'keep' }
	$answer = On-Device "prepare $sum $mode $Device"
	if ($answer.StartsWith('request ')) {
		Say 'enrolling'
		Ask-Bridge $answer.Substring(8)
		Push "$mine\answer.json" "$agentHome/answer.json"
		$result = 'enrolled'
	}
	Say 'waiting for a stored heartbeat'
	$stored = (On-Device "finish $Wait") -split ' '
	if ($stored[2] -eq 'started' -and $result -eq 'already enrolled') { $result = 'repaired' }
	Set-Finished $result $stored[1] '' ''
}

if ($Number -ge 0) {
	$work = $env:MUSTER_WORK
	$token = $env:MUSTER_TOKEN
	$mine = "$work\device-$Number"
	New-Item -ItemType Directory -Path $mine | Out-Null
	switch -Regex ($State) {
		'^device$' { Enroll; break }
		'^(unauthorized|authorizing)$' { Stop-Device 'unauthorized' ''; break }
		'^missing$' { Stop-Device 'unplugged' ''; break }
		'permissions' { Stop-Device 'adb' $State; break }
		default { Stop-Device 'offline' $State }
	}
	exit 0
}

# ---- all of them ----

if ($All -and ($Serial -or $Device)) { Stop-Usage '-All goes without -Serial and -Device' }
if ($Device -and $Device -cnotmatch '^[a-z0-9][a-z0-9-]{0,62}$') {
	Stop-Usage '-Device takes 1 to 63 of a-z, 0-9 and -'
}
foreach ($program in 'adb', 'curl.exe') {
	if (-not (Get-Command $program -ErrorAction SilentlyContinue)) { Stop-Usage "$program is not in the PATH" }
}
if ($TokenFile) { $token = "$(Get-Content -LiteralPath $TokenFile -TotalCount 1)".Trim() }
elseif (-not $token) { $token = (Read-Host 'enrolment token (none if all are enrolled already)').Trim() }
if ($token -and $token -cnotmatch '^[A-Za-z0-9_-]{43}$') {
	Stop-Usage 'that is no enrolment token: one has 43 characters'
}

$work = Join-Path ([IO.Path]::GetTempPath()) ('muster-' + [Guid]::NewGuid().ToString('N'))
New-Item -ItemType Directory -Path $work | Out-Null
$code = 1
try {
	Set-Text "$work\authority.pem" $authority
	Set-Text "$work\muster-agent.conf.new" $configuration
	Set-Text "$work\enroll.sh" "$deviceScript$newline"
	$env:MUSTER_WORK = $work
	$env:MUSTER_TOKEN = $token # for the processes below, and not in their arguments

	$found = @(& adb devices | Where-Object { "$_".Contains($tab) } | ForEach-Object { , ("$_" -split $tab) })
	if ($Serial) { $found = @($found | Where-Object { $_[0] -eq $Serial }) }
	if ($Serial -and $found.Count -eq 0) { $found = @(, @($Serial, 'missing')) }
	if ($found.Count -eq 0) {
		Write-Host 'muster-enroll: no device is attached'
		Write-Host '  next: plug one in with USB debugging on (settings, developer options); adb devices must list it'
		exit 1
	}
	if ($found.Count -gt 1 -and -not $All) {
		Stop-Usage 'several devices are attached: choose one with -Serial, or take -All'
	}

	$running = @()
	for ($i = 0; $i -lt $found.Count; $i++) {
		$its = @($found[$i] | ForEach-Object { $_ -replace "'", "''" })
		$words = "-Number $i -Serial '$($its[0])' -State '$($its[1])' -Wait $Wait"
		if ($Device) { $words += " -Device $Device" }
		if ($Anew) { $words += ' -Anew' }
		$command = "& ([ScriptBlock]::Create([IO.File]::ReadAllText(`$env:MUSTER_SCRIPT))) $words"
		$encoded = [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($command))
		$options = '-NoLogo', '-NoProfile', '-ExecutionPolicy', 'Bypass', '-EncodedCommand', $encoded
		$running += Start-Process powershell.exe -NoNewWindow -PassThru -ArgumentList $options
	}
	$running | ForEach-Object { $_.WaitForExit() }

	$failed = 0
	Write-Host ''
	Write-Host ('{0,-24} {1,-18} {2}' -f 'DEVICE', 'RESULT', 'NAME')
	for ($i = 0; $i -lt $found.Count; $i++) {
		$row = @($found[$i][0], 'failed', '-', 'it was interrupted', 'run this again')
		if (Test-Path "$work\device-$i\row") { $row = [IO.File]::ReadAllText("$work\device-$i\row") -split $tab }
		Write-Host ('{0,-24} {1,-18} {2}' -f $row[0], $row[1], $row[2])
		if ($row[1] -eq 'failed') {
			$failed++
			Write-Host "  why:  $($row[3])"
			Write-Host "  next: $($row[4])"
		}
	}
	$code = if ($failed -eq 0) { 0 } elseif ($failed -lt $found.Count) { 7 } else { 1 }
}
finally {
	Remove-Item -Recurse -Force $work
}
exit $code
