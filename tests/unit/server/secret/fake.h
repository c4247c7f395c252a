/* SPDX-License-Identifier: Apache-2.0 */
/* See fake.c. */
#pragma once

#include "server/server.h"
