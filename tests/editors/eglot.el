;;; Drives Emacs with eglot and the documented configuration; writes what it saw to $EDITOR_TEST_RESULT.
;; -*- lexical-binding: t -*-

(require 'json)
(load (getenv "EDITOR_TEST_DRIVER"))
(load (getenv "EDITOR_TEST_CONFIGURATION"))

(setq eglot-sync-connect 60
      eglot-confirm-server-initiated-edits nil)

(driver-run
 (lambda ()
   (find-file "src/net/client.py")
   (prog-mode)
   (apply #'eglot (eglot--guess-contact))
   (driver-wait "server" #'eglot-current-server)
   (driver-wait "index"
                (lambda ()
                  (let ((status (jsonrpc-request (eglot-current-server) :mosearch/status nil)))
                    (string= "ready" (plist-get (aref (plist-get status :folders) 0) :state)))))
   (driver-note 'symbols
                (mapcar (lambda (symbol) (plist-get symbol :name))
                        (jsonrpc-request (eglot-current-server) :workspace/symbol
                                         '(:query "?retry when busy"))))
   (mosearch-search "Checksum")
   (driver-note-xref 'search)
   (goto-char (point-min))
   (search-forward "transport(request)")
   (mosearch-similar)
   (driver-note-xref 'similar)
   (driver-code-action
    (lambda ()
      (let ((action (aref (jsonrpc-request
                           (eglot-current-server) :textDocument/codeAction
                           (list :textDocument (eglot--TextDocumentIdentifier)
                                 :range (list :start (eglot--pos-to-lsp-position)
                                              :end (eglot--pos-to-lsp-position))
                                 :context '(:diagnostics [])))
                          0)))
        (eglot-execute-command (eglot-current-server)
                               (intern (plist-get (plist-get action :command) :command))
                               (plist-get (plist-get action :command) :arguments)))))
   (driver-note-xref 'action)
   (driver-note-typed
    #'eglot--maybe-activate-editing-mode
    (lambda ()
      (eglot--signal-textDocument/didChange)
      (let* ((answer (jsonrpc-request (eglot-current-server) :mosearch/search '(:query "quersumme")))
             (hits (plist-get answer :hits))
             (hit (and (> (length hits) 0) (aref hits 0)))
             (span (plist-get (plist-get hit :location) :range)))
        (when (string= "quersumme" (plist-get hit :symbol))
          (cons (eglot--lsp-position-to-point (plist-get span :start))
                (eglot--lsp-position-to-point (plist-get span :end)))))))))
