;; The ABI `app_1` without the sdk, in the open: an application in the text format of WebAssembly. It counts by name: the
;; payload of command `count` and of query `value` is a JSON text, such as "clicks", and what stands between its quotes is
;; the key; a document is a number in decimal digits, which is JSON too. docs/applications.md describes the ABI.
(module
  (import "app_1" "get" (func $get (param i32 i32 i32 i32 i32 i32) (result i64)))
  (import "app_1" "put" (func $put (param i32 i32 i32 i32 i32 i32)))
  (import "app_1" "emit" (func $emit (param i32 i32 i32 i32 i32 i32)))

  ;; 0 to 1 KiB: the texts below. Up to 4 KiB: the output, written from its end. 4 KiB: the document that `get` gives.
  ;; From 64 KiB on: the input; a payload has 1 MiB at most.
  (memory (export "memory") 32)
  (data (i32.const 0) "counters")
  (data (i32.const 16) "counter.counted")
  (data (i32.const 64) "\01{\"code\":\"malformed\",\"reason\":\"the payload is a name in quotes\"}")
  (data (i32.const 192) "\01{\"code\":\"unknown_counter\",\"reason\":\"nothing was counted under that name\"}")
  (data (i32.const 320) "\01{\"code\":\"unknown_migration\",\"reason\":\"there is one shape\"}")

  (func (export "abi_version") (result i32) (i32.const 1))

  ;; The host writes the input of the next call here.
  (func (export "buffer") (param $len i32) (result i32)
    (if (i32.gt_u (local.get $len) (i32.const 0x1f0000)) (then (unreachable)))
    (i32.const 0x10000))

  ;; Pointer and length of an output in one number.
  (func $output (param $pointer i32) (param $len i32) (result i64)
    (i64.or
      (i64.shl (i64.extend_i32_u (local.get $pointer)) (i64.const 32))
      (i64.extend_i32_u (local.get $len))))

  ;; The number whose digits begin at 4096.
  (func $parse (param $len i32) (result i64)
    (local $at i32) (local $value i64)
    (block $end
      (loop $next
        (br_if $end (i32.eq (local.get $at) (local.get $len)))
        (local.set $value
          (i64.add
            (i64.mul (local.get $value) (i64.const 10))
            (i64.extend_i32_u
              (i32.sub (i32.load8_u offset=4096 (local.get $at)) (i32.const 48)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (local.get $value))

  ;; Writes the digits of a number so that they end before 4096, and gives where they begin.
  (func $format (param $value i64) (result i32)
    (local $at i32)
    (local.set $at (i32.const 4096))
    (loop $next
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at)
        (i32.add (i32.wrap_i64 (i64.rem_u (local.get $value) (i64.const 10))) (i32.const 48)))
      (local.set $value (i64.div_u (local.get $value) (i64.const 10)))
      (br_if $next (i64.ne (local.get $value) (i64.const 0))))
    (local.get $at))

  ;; Whether a payload is a text of one byte at least; its escapes are not looked at.
  (func $is_name (param $at i32) (param $len i32) (result i32)
    (if (i32.lt_s (local.get $len) (i32.const 3)) (then (return (i32.const 0))))
    (i32.and
      (i32.eq (i32.load8_u (local.get $at)) (i32.const 34))
      (i32.eq
        (i32.load8_u (i32.sub (i32.add (local.get $at) (local.get $len)) (i32.const 1)))
        (i32.const 34))))

  ;; Reads the document into 4096; -1 when there is none.
  (func $read (param $key i32) (param $key_len i32) (result i64)
    (call $get (i32.const 0) (i32.const 8) (local.get $key) (local.get $key_len) (i32.const 4096) (i32.const 32)))

  ;; Input: u16 length of the command's name, the name, u16 version, the payload. There is but one command, and the host
  ;; lets none through that the manifest does not name.
  (func (export "apply") (param $input i32) (param $len i32) (result i64)
    (local $key i32) (local $key_len i32) (local $read i64) (local $digits i32) (local $digits_len i32)
    (local.set $key (i32.add (i32.load16_u (local.get $input)) (i32.const 4)))
    (local.set $key_len (i32.sub (local.get $len) (local.get $key)))
    (local.set $key (i32.add (local.get $key) (local.get $input)))
    (if (i32.eqz (call $is_name (local.get $key) (local.get $key_len)))
      (then (return (call $output (i32.const 64) (i32.const 64)))))
    (local.set $key (i32.add (local.get $key) (i32.const 1)))
    (local.set $key_len (i32.sub (local.get $key_len) (i32.const 2)))
    (local.set $read (call $read (local.get $key) (local.get $key_len)))
    (local.set $digits
      (call $format
        (i64.add
          (i64.const 1)
          (if (result i64) (i64.lt_s (local.get $read) (i64.const 0))
            (then (i64.const 0))
            (else (call $parse (i32.wrap_i64 (local.get $read))))))))
    (local.set $digits_len (i32.sub (i32.const 4096) (local.get $digits)))
    (call $put
      (i32.const 0) (i32.const 8) (local.get $key) (local.get $key_len) (local.get $digits) (local.get $digits_len))
    (call $emit
      (i32.const 16) (i32.const 15) (local.get $key) (local.get $key_len) (local.get $digits) (local.get $digits_len))
    (i32.store8 (i32.sub (local.get $digits) (i32.const 1)) (i32.const 0))
    (call $output
      (i32.sub (local.get $digits) (i32.const 1))
      (i32.add (local.get $digits_len) (i32.const 1))))

  ;; Input: u16 length of the query's name, the name, the payload.
  (func (export "query") (param $input i32) (param $len i32) (result i64)
    (local $key i32) (local $key_len i32) (local $read i64)
    (local.set $key (i32.add (i32.load16_u (local.get $input)) (i32.const 2)))
    (local.set $key_len (i32.sub (local.get $len) (local.get $key)))
    (local.set $key (i32.add (local.get $key) (local.get $input)))
    (if (i32.eqz (call $is_name (local.get $key) (local.get $key_len)))
      (then (return (call $output (i32.const 64) (i32.const 64)))))
    (local.set $read
      (call $read
        (i32.add (local.get $key) (i32.const 1))
        (i32.sub (local.get $key_len) (i32.const 2))))
    (if (i64.lt_s (local.get $read) (i64.const 0))
      (then (return (call $output (i32.const 192) (i32.const 74)))))
    (i32.store8 (i32.const 4095) (i32.const 0))
    (call $output (i32.const 4095) (i32.add (i32.wrap_i64 (local.get $read)) (i32.const 1))))

  (func (export "migrate") (param i32 i32) (result i64)
    (call $output (i32.const 320) (i32.const 59))))
