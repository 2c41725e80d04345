// Two versions of one SDK: the one that offbake uses, and, under a name of our own, the one that the released Packer
// plugin for UCloud was built with.
module github.com/offbake/offbake/bundle/serve/testdata/sdkprogram

go 1.26

require (
	github.com/ufilesdk-dev/ufile-gosdk v1.0.7
	old.invalid/ufile-gosdk v1.0.1
)

replace old.invalid/ufile-gosdk v1.0.1 => github.com/ufilesdk-dev/ufile-gosdk v1.0.1
