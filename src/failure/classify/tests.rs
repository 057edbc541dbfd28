//! The categories of codes and messages.

mod malformed;

use super::*;

fn category(code: &str, message: &str) -> Category {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    OriginalFailure {
        error_code: some(code),
        error_message: some(message),
        ..OriginalFailure::default()
    }
    .category()
}

#[test]
fn category_follows_the_message_when_the_code_is_generic() {
    assert_eq!(category("ERROR_FROM_TARGET", "status 429"), Category::RateLimitExceeded);
    assert_eq!(category("UNKNOWN", "schema mismatch"), Category::PayloadMalformed);
    assert_eq!(category("A_CODE_OF_TOMORROW", ""), Category::Unknown);
    assert_eq!(category("200", "connection refused"), Category::EndpointUnreachable);
    assert_eq!(category("429", ""), Category::RateLimitExceeded);
}

#[test]
fn category_of_sdk_client_errors_follows_the_status() {
    let api = |status: &str| {
        category(
            "SDK_CLIENT_ERROR",
            &format!("ApiDestination returned HTTP status {status} with payload: {{\"code\":429}}"),
        )
    };
    assert_eq!(api("400"), Category::PayloadMalformed);
    assert_eq!(api("403"), Category::AuthenticationRejected);
    assert_eq!(api("404"), Category::TargetMissing);
    assert_eq!(api("429"), Category::RateLimitExceeded);
    assert_eq!(api("409"), Category::Unknown);
    assert_eq!(api("503"), Category::EndpointUnreachable);
    assert_eq!(
        category("SDK_CLIENT_ERROR", "unable to execute request"),
        Category::EndpointUnreachable
    );
}

#[test]
fn category_ignores_a_status_inside_a_word() {
    for message in [
        "status 503",
        "status=503",
        "(503)",
        "HTTP/1.1 503 Service",
        "status: 503.",
        "\"status\":503,",
        "response.status:503",
        "https://crm.example/events:503",
    ] {
        assert_eq!(category("", message), Category::EndpointUnreachable, "{message}");
    }
    for message in [
        "conversation 8a42942d-4290-4291-8503-503429401403 lost",
        "at 2026-07-25T10:30:00.429Z",
        "after 4290 ms",
        "gave up after 400 ms",
        "failed 503 times",
        "unexpected token at line 422 column 400",
        "function arn:aws:lambda:eu-west-1:271828182845:function:crm:400 failed",
        "host 10.0.0.503",
        "item-503",
        "order 0503",
        "v429",
        "region 200",
        "host 10.0.0.7:400",
        "host (10.0.0.7:400)",
        "crm.example:503",
        "boom at handler (/var/task/index.js:400:17)",
        "Loader.java:413",
        "Retry-After: 400",
        "Content-Length: 413",
        "pid 413 crashed",
        "exit code 400",
        "queue depth 400",
        "delivered 400 of 500 records",
        "retry 3 of 400",
        "1,400 messages lost",
        "circuit open, 400 failures",
        "Lambda returned 400 items",
        "attempt #3, code=0, elapsed=413",
        "https://crm.example:503",
    ] {
        assert_eq!(category("", message), Category::Unknown, "{message}");
    }
}

#[test]
fn category_follows_words_without_a_status() {
    for (message, expected) in [
        ("connect to crm.example:443: connection refused", Category::EndpointUnreachable),
        ("Rate limit of the partner reached", Category::RateLimitExceeded),
        ("request was throttled", Category::RateLimitExceeded),
        ("User is Unauthorized", Category::AuthenticationRejected),
        ("missing permission", Category::AuthenticationRejected),
        ("read timeout", Category::EndpointUnreachable),
        ("connection refused", Category::EndpointUnreachable),
        ("malformed body", Category::PayloadMalformed),
        ("size exceeded", Category::PayloadMalformed),
        ("function does not exist", Category::TargetMissing),
        ("no idea", Category::Unknown),
        ("", Category::Unknown),
    ] {
        assert_eq!(category("", message), expected, "{message}");
    }
}

/// Codes of other systems, of AWS services and of `EventBridge`, with their categories.
const UNLISTED_CODES: &[(Category, &[&str])] = &[
    (
        Category::RateLimitExceeded,
        &[
            "OverLimit",
            "RESOURCE_EXHAUSTED",
            "ENILimitReachedException",
            "CONCURRENCY_LIMIT",
            "HTTP_429",
            "RATE_LIMIT_EXCEEDED",
            "RateLimitExceeded",
            "QuotaExceeded",
            "DAILY_QUOTA_EXCEEDED",
            "TooManyRequestsException",
            "ThrottlingException",
            "ProvisionedThroughputExceededException",
            "LimitExceededException",
            "KMS.ThrottlingException",
            "HTTP_400_THROTTLED",
            "400_RATE_LIMIT",
        ],
    ),
    (
        Category::AuthenticationRejected,
        &[
            "UnrecognizedClientException",
            "JWT_EXPIRED",
            "SESSION_EXPIRED",
            "OAUTH_ERROR",
            "HTTP_401",
            "http-403",
            "TokenExpired",
            "EXPIRED_TOKEN",
            "INVALID_TOKEN",
            "UNAUTHORIZED",
            "NotAuthorized",
            "ACCESS_DENIED",
            "AccessDeniedException",
            "AUTHENTICATION_FAILED",
            "AUTH_ERROR",
            "InvalidCredentials",
            "MISSING_PERMISSIONS",
            "InvalidSignatureException",
            "FORBIDDEN",
            "EXPIRED_ACCESS_TOKEN",
            "InvalidAccessToken",
            "INVALID_AUTH_TOKEN",
            "TokenExpiration",
            "MALFORMED_TOKEN",
            "CSRF_VALIDATION_FAILED",
            "INVALID_REQUEST_SIGNATURE",
            "INVALID_REQUEST_TOKEN",
            "HTTP_400_TOKEN_EXPIRED",
            "MISSING_REQUIRED_PARAMETER_API_KEY",
        ],
    ),
    (
        Category::EndpointUnreachable,
        &[
            "UnknownHostException",
            "EAI_AGAIN",
            "EPIPE",
            "BROKEN_PIPE",
            "SSLHandshakeException",
            "SSL_ERROR",
            "DEADLINE_EXCEEDED",
            "InternalError",
            "ServiceException",
            "SERVER_BUSY",
            "OVERLOADED",
            "SERVICE_DOWN",
            "UPSTREAM_ERROR",
            "CONN_RESET",
            "AUTH_TIMEOUT",
            "TimeLimitExceeded",
            "EFSMountConnectivityException",
            "HTTP_503",
            "HTTP502",
            "HttpStatus504",
            "Http503Error",
            "503_SERVICE_UNAVAILABLE",
            "NETWORK_TIMEOUT",
            "NetworkError",
            "ConnectTimeout",
            "CONNECTION_RESET",
            "SERVICE_UNAVAILABLE",
            "BadGateway",
            "INTERNAL_SERVER_ERROR",
            "AWS.Scheduler.InternalServerError",
            "ECONNREFUSED",
            "RequestTimeoutException",
            "REQUEST_TIMEDOUT",
            "ReadTimedout",
            "HTTP_5XX",
            "CERT_VALIDATION_FAILED",
        ],
    ),
    (
        Category::TargetMissing,
        &[
            "QueueDeletedRecently",
            "HTTP_404",
            "NOT_FOUND",
            "ResourceNotFoundException",
            "AWS.SimpleQueueService.NonExistentQueue",
            "QueueDoesNotExist",
            "NoSuchEndpoint",
            "StateMachineDoesNotExist",
        ],
    ),
    (
        Category::PayloadMalformed,
        &[
            "JsonParseException",
            "JSONDecodeError",
            "SerializationException",
            "PAYLOAD_INVALID",
            "REQUEST_TOO_LARGE",
            "RequestTooLargeException",
            "EventTooLarge",
            "InvalidExecutionInput",
            "FIELD_REQUIRED",
            "UnsupportedMediaTypeException",
            "PAYLOAD_LIMIT_EXCEEDED",
            "HTTP_400",
            "HTTP_422",
            "INVALID_PAYLOAD",
            "InvalidPayload",
            "SCHEMA_VALIDATION_ERROR",
            "SchemaValidationError",
            "VALIDATION_ERROR",
            "ValidationException",
            "CUSTOMER_VALIDATION",
            "BAD_REQUEST",
            "MALFORMED_JSON",
            "MISSING_REQUIRED_FIELD",
            "MissingField",
            "PAYLOAD_TOO_LARGE",
            "SIZE_LIMIT_EXCEEDED",
            "UNPROCESSABLE_ENTITY",
            "INVALID_EVENT_PAYLOAD",
            "MissingMandatoryField",
            "REQUIRED_ATTRIBUTE_MISSING",
            "MISSING_ATTRIBUTE",
            "BadJson",
            "JSON_SYNTAX_ERROR",
            "INVALID_DATA",
        ],
    ),
    (
        // Codes of EventBridge whose cause only the message gives, and configuration mistakes.
        Category::Unknown,
        &[
            "ORA-503",
            "APP-422",
            "MemoryLimitExceeded",
            "RetryLimitExceeded",
            "NonRetryableError",
            "MESSAGE_TOO_OLD",
            "PAYLOAD_TOO_OLD",
            "REQUEST_BODY_TOO_SLOW",
            "InvalidDatabaseState",
            "InvalidDataSource",
            "InvalidEventBus",
            "SchemaRegistryException",
            "LICENSE_VALIDATION_PENDING",
            "ERROR_FROM_TARGET",
            "UNKNOWN",
            "CROSS_ACCOUNT_INGESTION_FAILED",
            "CROSS_REGION_INGESTION_FAILED",
            "EVENTS_IN_BATCH_REQUEST_REJECTED",
            "RESOURCE_ALREADY_EXISTS",
            "RESOURCE_MODIFICATION_COLLISION",
            "THIRD_ACCOUNT_HOP_DETECTED",
            "THIRD_REGION_HOP_DETECTED",
            "LOOP_DETECTED",
            "KMSInvalidStateException",
            "InvalidSecurityGroupIDException",
            "ORA-00503",
            "E1503",
            "8a403c",
            "E403",
            "HTTP_200",
            // AWS's codes for its own parameters.
            "InvalidParameterValue",
            "MissingParameter",
            "AWS.InvalidParameterValueException",
            // Numbers of other systems.
            "ERR_413",
            "SQL_ERROR_413",
            "DB_ERROR_422",
            "KAFKA_ERROR_400",
            "MQ_ERROR_400",
            "Error422Deadlock",
            // A fault of something else than the payload.
            "POOL_SIZE_EXCEEDED",
            "MissingSchema",
            "SCHEMA_LOCKED",
            "DB_SCHEMA_OUTDATED",
            "MALFORMED_RESPONSE",
            "MalformedChunkCodingException",
            "invalid_request",
        ],
    ),
];

#[test]
fn category_follows_the_words_and_status_of_an_unlisted_code() {
    for (expected, codes) in UNLISTED_CODES {
        for code in *codes {
            assert_eq!(category(code, ""), *expected, "{code}");
        }
    }
}

#[test]
fn category_reads_codes_and_missing_fields_in_messages() {
    for (message, expected) in [
        ("Missing required field 'callId'", Category::PayloadMalformed),
        ("required property \"id\" is absent", Category::PayloadMalformed),
        ("NetworkTimeoutError: no answer", Category::EndpointUnreachable),
        ("failed with HTTP_503", Category::EndpointUnreachable),
        ("failed with HTTP-429.", Category::RateLimitExceeded),
        ("quota exceeded for the day", Category::RateLimitExceeded),
        ("certificate validation failed", Category::EndpointUnreachable),
        ("Missing required field 'connectionId'", Category::PayloadMalformed),
        ("Missing required field 'permissions'", Category::PayloadMalformed),
        ("schema validation failed: timeoutMs", Category::PayloadMalformed),
        ("User is missing required permissions", Category::AuthenticationRejected),
        ("The security token included in the request is expired", Category::AuthenticationRejected),
        ("the schema registry is down", Category::Unknown),
        ("message took 30 s", Category::Unknown),
        ("the payload took too long", Category::Unknown),
        ("parsing service crashed", Category::Unknown),
        ("The validation Lambda is busy", Category::Unknown),
        ("context deadline exceeded", Category::EndpointUnreachable),
        ("order_503", Category::Unknown),
        ("ORA-503", Category::Unknown),
    ] {
        assert_eq!(category("", message), expected, "{message}");
    }
}

#[test]
fn category_ignores_the_quoted_answer_of_the_target() {
    assert_eq!(category("", "refused, Payload: 429 rate limit"), Category::Unknown);
}

#[test]
fn category_ignores_the_text_of_the_targets_code() {
    for (code, expected) in [(None, Category::Unknown), (Some("429"), Category::RateLimitExceeded)]
    {
        let failure = OriginalFailure {
            error_code: code.map(str::to_owned),
            error_message: Some("schema changed, see ticket 400".to_owned()),
            is_targets_text: true,
            ..OriginalFailure::default()
        };
        assert_eq!(failure.category(), expected);
    }
}

#[test]
fn status_400_of_an_aws_error_is_not_evidence() {
    let of = |service: &str| format!("(Service: {service}, Status Code: 400, Request ID: 1)");
    for (code, message, expected) in [
        ("SDK_CLIENT_ERROR", format!("Rate exceeded {}", of("Sfn")), Category::RateLimitExceeded),
        (
            "ERROR_FROM_TARGET",
            format!("Rate exceeded {}", of("Kinesis")),
            Category::RateLimitExceeded,
        ),
        ("KmsInvalidState", format!("The KMS key is disabled. {}", of("Sqs")), Category::Unknown),
        ("KMSInvalidStateException", of("Sqs"), Category::Unknown),
        ("", format!("Access denied {}", of("AmazonSQS")), Category::AuthenticationRejected),
        (
            "",
            "An error occurred (ThrottlingException): Rate exceeded, status 400".to_owned(),
            Category::RateLimitExceeded,
        ),
        (
            "",
            "https response error StatusCode: 400, RequestID: x, QueueDoesNotExist".to_owned(),
            Category::TargetMissing,
        ),
        (
            "SDK_CLIENT_ERROR",
            "ApiDestination returned HTTP status 400 with payload: {}".to_owned(),
            Category::PayloadMalformed,
        ),
    ] {
        assert_eq!(category(code, &message), expected, "{code} {message}");
    }
}
