// Nothing to compile: targets made of this file own a precompiled header (TandemPrecompile.cmake).
