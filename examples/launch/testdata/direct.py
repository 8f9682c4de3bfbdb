#!/bin/sh
echo by its first line
